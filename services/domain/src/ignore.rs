//! `.dockerignore`: which files of a context a build never sees.
//!
//! The rules are those of moby/patternmatcher and of the walk of tonistiigi/fsutil, which BuildKit's clients use:
//! patterns become regular expressions, the last one that matches wins, `!` includes files again, and what matches a
//! folder applies to everything below it. Crates for `.gitignore` files and for glob patterns have other rules.

use regex::{Regex, RegexBuilder};

use crate::text::without_mark;

/// Most patterns of a file, each of which is tried on every path.
const MAX_PATTERNS: usize = 1_000;
/// Longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1_024;
/// Most memory of a pattern, in bytes, when it is made and when it is used.
const MAX_EXPRESSION_BYTES: usize = 512 * 1024;

/// The patterns of an ignore file.
#[derive(Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// Which patterns matched a folder: the questions about what is below it need that.
#[derive(Clone, Debug, Default)]
pub struct FolderMatches(Vec<bool>);

/// The file has a pattern that is malformed, or that Go may read in another way than this code. BuildKit refuses most
/// such files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// This pattern.
    #[error("the pattern {0:?} of the ignore file cannot be read with certainty")]
    Pattern(String),
    /// There is more of it than is read.
    #[error(
        "the ignore file is too large: it has more than {} patterns, or one of more than {} bytes",
        MAX_PATTERNS,
        MAX_PATTERN_BYTES
    )]
    TooLarge,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    includes_again: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Exact,
    Prefix(String),
    Suffix(String),
    Expression(Regex),
}

impl Ignore {
    /// Reads the text of an ignore file.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = without_mark(text);
        let mut patterns = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let line = line.trim();
            let (includes_again, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            if line.is_empty() {
                continue;
            }
            if patterns.len() == MAX_PATTERNS || line.len() > MAX_PATTERN_BYTES {
                return Err(IgnoreError::TooLarge);
            }
            let error = || IgnoreError::Pattern(line.to_owned());
            let pattern = clean(pattern);
            let pattern = match pattern.strip_prefix('/') {
                Some(rest) if !rest.is_empty() => rest.to_owned(),
                _ => pattern,
            };
            // One that begins with `!` only now: Docker reads that again, as it would at the beginning of the line.
            if pattern.is_empty() || pattern.starts_with('!') {
                return Err(error());
            }
            let test = Test::of(&pattern).ok_or_else(error)?;
            patterns.push(Pattern {
                text: pattern,
                includes_again,
                test,
            });
        }
        Ok(Self { patterns })
    }

    /// Whether `path` (below the context, `/` between its parts) is left out. Ask from the top downwards: `folder` is
    /// the answer for the folder that the path is in, `None` at the top.
    pub fn excludes(&self, path: &str, folder: Option<&FolderMatches>) -> (bool, FolderMatches) {
        let mut excluded = false;
        let mut matches = vec![false; self.patterns.len()];
        for (at, pattern) in self.patterns.iter().enumerate() {
            let inherited = folder.is_some_and(|folder| folder.0.get(at) == Some(&true));
            // A pattern that could change nothing is not tried, and is then not inherited either.
            if !inherited && pattern.includes_again != excluded {
                continue;
            }
            if inherited || pattern.matches(path) {
                matches[at] = true;
                excluded = !pattern.includes_again;
            }
        }
        (excluded, FolderMatches(matches))
    }

    /// Whether something below an excluded folder may be included again.
    pub fn may_include_again_below(&self, folder: &str) -> bool {
        let below = format!("{folder}/");
        self.patterns
            .iter()
            .filter(|pattern| pattern.includes_again)
            .any(|pattern| {
                let plain = pattern.text.trim_end_matches("/**").trim_end_matches("/*");
                plain.contains(['*', '[', ']', '?', '^', '\\'])
                    || format!("{plain}/").starts_with(&below)
            })
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        match &self.test {
            Test::Exact => path == self.text,
            Test::Prefix(prefix) => path.starts_with(prefix),
            Test::Suffix(suffix) => {
                // `**/x` also means x at the top.
                path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path)
            }
            Test::Expression(expression) => expression.is_match(path),
        }
    }
}

impl Test {
    fn of(pattern: &str) -> Option<Self> {
        #[derive(PartialEq)]
        enum Kind {
            Exact,
            Prefix,
            Suffix,
            Expression,
        }
        if ambiguous_class(pattern) {
            return None;
        }
        let mut kind = Kind::Exact;
        let mut expression = String::from("^");
        let mut chars = pattern.chars().peekable();
        let mut first = true;
        while let Some(ch) = chars.next() {
            match ch {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    if chars.peek().is_some() {
                        expression.push_str("(.*/)?");
                        kind = Kind::Expression;
                    } else if kind == Kind::Exact {
                        kind = Kind::Prefix;
                    } else {
                        expression.push_str(".*");
                        kind = Kind::Expression;
                    }
                    if first {
                        kind = Kind::Suffix;
                    }
                }
                '*' | '?' => {
                    expression.push_str(if ch == '*' { "[^/]*" } else { "[^/]" });
                    kind = Kind::Expression;
                }
                '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => expression.extend(['\\', ch]),
                '\\' => {
                    let next = chars.next()?;
                    // A class such as `\d` has other characters in Go.
                    if next.is_alphanumeric() {
                        return None;
                    }
                    expression.extend(['\\', next]);
                    kind = Kind::Expression;
                }
                '[' | ']' => {
                    expression.push(ch);
                    kind = Kind::Expression;
                }
                _ => expression.push(ch),
            }
            first = false;
        }
        Some(match kind {
            Kind::Exact => Self::Exact,
            Kind::Prefix => Self::Prefix(pattern.strip_suffix("**")?.to_owned()),
            Kind::Suffix => Self::Suffix(pattern.strip_prefix("**")?.to_owned()),
            Kind::Expression => {
                expression.push('$');
                let expression = RegexBuilder::new(&expression)
                    .size_limit(MAX_EXPRESSION_BYTES)
                    .dfa_size_limit(MAX_EXPRESSION_BYTES)
                    .build();
                Self::Expression(expression.ok()?)
            }
        })
    }
}

/// Inside brackets, Go and this expression engine disagree on some characters.
fn ambiguous_class(pattern: &str) -> bool {
    pattern.split('[').skip(1).any(|rest| {
        let class = rest.split_once(']').map(|(class, _)| class);
        class.is_none_or(|class| ["&&", "--", "~~"].iter().any(|two| class.contains(two)))
    })
}

/// Go's `filepath.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, path.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => String::new(),
        (false, false) if joined.is_empty() => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks as a walk does, from the top downwards.
    fn excluded(ignore: &Ignore, path: &str) -> bool {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        let mut folder = None;
        let mut excluded = false;
        for end in ends {
            let (out, matches) = ignore.excludes(&path[..end], folder.as_ref());
            excluded = out;
            folder = Some(matches);
        }
        excluded
    }

    #[test]
    fn patterns_match_as_docker_s_do() {
        for (patterns, path, expected) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("dir/**", "other/dir/file", false),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**/file", "file", true),
            ("**/file", "a/b/file", true),
            ("**file", "a/xfile", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("*.txt", "dir/file.txt", false),
            ("**/*.txt", "dir/file.txt", true),
            ("dir", "dir/a/b", true),
            ("/dir/", "dir/a", true),
            ("./dir/../dir", "dir", true),
            ("dir", "dirx", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a[b-d]e", "ace", true),
            ("a[^b]e", "abe", false),
            ("a.b", "axb", false),
            ("a$b(c|d)+{e}", "a$b(c|d)+{e}", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("# a", "a", false),
            ("  a  ", "a", true),
            ("a\n!a", "a", false),
            ("!a\na", "a", true),
            ("*\n!a", "a", false),
            ("*\n!a/b", "a/b", false),
            ("*\n!a/b", "a/c", true),
            ("a\n! a/b", "a/b", false),
            ("a\n!a/b\na/b/c", "a/b/c", true),
            ("a\n!a/b\na/b/c", "a/b/d", false),
            // A pattern that includes a folder before another one leaves it out is not tried again below it.
            ("a/b\n!a", "a/b", true),
        ] {
            let ignore = Ignore::parse(patterns).unwrap();
            assert_eq!(excluded(&ignore, path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn what_go_and_this_engine_may_read_differently_is_refused() {
        for patterns in ["!", "a[", "a[b", "[a&&b]", "[[a]]", "a\\"] {
            assert!(Ignore::parse(patterns).is_err(), "{patterns}");
        }
    }

    #[test]
    fn more_patterns_than_real_files_have_are_too_many() {
        for text in [
            "a\n".repeat(1_001),
            format!("a/{}", "?".repeat(1_024)),
            "[".repeat(1 << 20),
        ] {
            assert_eq!(Ignore::parse(&text).unwrap_err(), IgnoreError::TooLarge);
        }
        assert!(Ignore::parse(&"#\n".repeat(100_000)).is_ok());
        // None of these takes more than its share, and none takes long.
        let stars = format!("**/{}x", "*a".repeat(100));
        let ignore = Ignore::parse(&format!("{stars}\n").repeat(20)).unwrap();
        assert!(!excluded(&ignore, &"a".repeat(2_000)));
    }

    #[test]
    fn a_folder_is_entered_when_something_in_it_may_be_included_again() {
        let ignore = Ignore::parse("*\n!a/b/c\n!d/**").unwrap();
        for (folder, expected) in [
            ("a", true),
            ("a/b", true),
            ("a/x", false),
            ("d", true),
            ("e", false),
        ] {
            assert_eq!(ignore.may_include_again_below(folder), expected, "{folder}");
        }
        assert!(
            Ignore::parse("*\n!**/x")
                .unwrap()
                .may_include_again_below("e")
        );
    }
}
