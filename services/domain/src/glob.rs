//! Patterns of COPY: those of Go's `path.Match`, which BuildKit uses. `*` and `?` never match a slash, and `**` is
//! nothing but two stars.
//!
//! `globset` matches other names, so that a file which changed could leave the key as it was: there `**` crosses
//! slashes, `{a,b}` are alternatives, `[!a]` negates, `[]a]` and `[-]` are well-formed, and `?` is one byte.

/// Whether `path` as a whole matches `pattern`. A pattern that is malformed matches nothing, as in Go.
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let path: Vec<char> = path.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when the characters after the last star do not fit: the star then takes one character more.
    let mut star: Option<(usize, usize)> = None;
    while t < path.len() || p < pattern.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if let Some(next) = path.get(t).and_then(|&ch| one(&pattern, p, ch)) {
            p = next;
            t += 1;
            continue;
        }
        match star {
            Some((at, taken)) if path.get(taken).is_some_and(|&ch| ch != '/') => {
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
            _ => return false,
        }
    }
    true
}

/// Matches one character against the pattern's element at `p` and returns where the next element begins.
fn one(pattern: &[char], p: usize, ch: char) -> Option<usize> {
    match *pattern.get(p)? {
        '?' => (ch != '/').then_some(p + 1),
        '[' => class(pattern, p + 1, ch),
        '\\' => (*pattern.get(p + 1)? == ch).then_some(p + 2),
        plain => (plain == ch).then_some(p + 1),
    }
}

fn class(pattern: &[char], mut p: usize, ch: char) -> Option<usize> {
    let negated = pattern.get(p) == Some(&'^');
    if negated {
        p += 1;
    }
    let mut found = false;
    let mut first = true;
    while first || *pattern.get(p)? != ']' {
        first = false;
        let (low, next) = class_char(pattern, p)?;
        let (high, next) = match pattern.get(next) {
            Some('-') => class_char(pattern, next + 1)?,
            _ => (low, next),
        };
        found |= (low..=high).contains(&ch);
        p = next;
    }
    (found != negated).then_some(p + 1)
}

fn class_char(pattern: &[char], p: usize) -> Option<(char, usize)> {
    match *pattern.get(p)? {
        '-' | ']' => None,
        '\\' => Some((*pattern.get(p + 1)?, p + 2)),
        plain => Some((plain, p + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_of_go_s_own_table_hold() {
        // Pattern, text, whether they match: path/match_test.go of Go's standard library.
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^b-d]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "x", true),
            ("[x\\-]", "z", false),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[a-b-c]", "a", false),
            ("[", "a", false),
            ("a[", "a", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("**", "a/b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
