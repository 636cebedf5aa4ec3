use std::{fmt, str::FromStr};

const MAX_LEN: usize = 255;
const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// What of a repository is checked out. Its text, which [`fmt::Display`] writes, is that of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum GitRef {
    /// The branch that the repository's `HEAD` points to; its text is empty.
    #[default]
    Default,
    /// A short name such as `main` or `v1.0`: a branch, or a tag where there is no such branch.
    Name(String),
    /// A branch by its full name, here without `refs/heads/`.
    Branch(String),
    /// A tag by its full name, here without `refs/tags/`.
    Tag(String),
    /// Any other full name, `refs/` included, such as `refs/pull/7/head`.
    Other(String),
    /// A commit by its full hash.
    Commit(CommitHash),
}

/// The full hash of a commit: 40 hex digits (SHA-1) or 64 (SHA-256), in lower case. Git takes such a name for a commit
/// even where a branch has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommitHash(String);

/// The text is not a full hash of a commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the full hash of a commit: 40 or 64 hex digits")]
pub struct CommitHashError;

/// Why git would not accept a name (`git check-ref-format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitRefError {
    /// Hosts do not store longer names.
    #[error("is longer than 255 bytes")]
    TooLong,
    /// It would be read as an option.
    #[error("must not start with a dash")]
    Dash,
    /// A character that git uses for its own notation.
    #[error("has a character that git does not allow in a name")]
    Character,
    /// `..`, `@{`, a dot at the end, or `@` alone.
    #[error("is not the name of a branch, tag or commit")]
    NotAName,
    /// One of the parts between slashes is malformed.
    #[error("has a part that is empty, starts with a dot or ends with .lock")]
    Part,
}

impl GitRef {
    /// Whether it can be the short hash of a commit: 7 hex digits at least. Git takes it for one where there is no branch or
    /// tag of that name.
    pub fn is_short_hash(&self) -> bool {
        match self {
            Self::Name(name) => {
                (7..40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            _ => false,
        }
    }
}

impl FromStr for GitRef {
    type Err = GitRefError;

    fn from_str(text: &str) -> Result<Self, GitRefError> {
        if text.is_empty() {
            return Ok(Self::Default);
        }
        check(text)?;
        if let Ok(commit) = text.parse() {
            return Ok(Self::Commit(commit));
        }
        Ok(if let Some(branch) = text.strip_prefix(BRANCHES) {
            Self::Branch(branch.to_owned())
        } else if let Some(tag) = text.strip_prefix(TAGS) {
            Self::Tag(tag.to_owned())
        } else if text.starts_with("refs/") {
            Self::Other(text.to_owned())
        } else {
            Self::Name(text.to_owned())
        })
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Name(name) | Self::Other(name) => f.write_str(name),
            Self::Branch(branch) => write!(f, "{BRANCHES}{branch}"),
            Self::Tag(tag) => write!(f, "{TAGS}{tag}"),
            Self::Commit(commit) => f.write_str(commit.as_str()),
        }
    }
}

impl CommitHash {
    /// The hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as they are shown to people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for CommitHash {
    type Err = CommitHashError;

    fn from_str(text: &str) -> Result<Self, CommitHashError> {
        if matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(CommitHashError)
        }
    }
}

impl fmt::Display for CommitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(name: &str) -> Result<(), GitRefError> {
    if name.len() > MAX_LEN {
        return Err(GitRefError::TooLong);
    }
    if name.starts_with('-') {
        return Err(GitRefError::Dash);
    }
    let forbidden =
        |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    if name.chars().any(forbidden) {
        return Err(GitRefError::Character);
    }
    if name.contains("..") || name.contains("@{") || name.ends_with('.') || name == "@" {
        return Err(GitRefError::NotAName);
    }
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if name.split('/').any(bad_part) {
        return Err(GitRefError::Part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn branches_tags_commits_and_the_default_are_kept_apart() {
        for (text, expected) in [
            ("", GitRef::Default),
            ("main", GitRef::Name("main".into())),
            ("heads/main", GitRef::Name("heads/main".into())),
            ("release-1", GitRef::Name("release-1".into())),
            ("v1.2.3", GitRef::Name("v1.2.3".into())),
            ("refs/heads/a/b", GitRef::Branch("a/b".into())),
            ("refs/tags/v1", GitRef::Tag("v1".into())),
            ("refs/pull/7/head", GitRef::Other("refs/pull/7/head".into())),
            (SHA1, GitRef::Commit(CommitHash(SHA1.into()))),
            // Shorter than a hash: git may know a branch of that name.
            ("0123456789ab", GitRef::Name("0123456789ab".into())),
        ] {
            let parsed: GitRef = text.parse().unwrap();
            assert_eq!(parsed, expected);
            assert_eq!(parsed.to_string(), text);
        }
        let upper: GitRef = SHA1.to_uppercase().parse().unwrap();
        assert_eq!(upper.to_string(), SHA1);
    }

    #[test]
    fn only_whole_hashes_are_commits() {
        for length in [40, 64] {
            assert!("a1".repeat(length / 2).parse::<CommitHash>().is_ok());
            assert!("g".repeat(length).parse::<CommitHash>().is_err());
            assert!("a".repeat(length - 1).parse::<CommitHash>().is_err());
        }
        assert!("".parse::<CommitHash>().is_err());
    }

    #[test]
    fn names_that_git_refuses_are_refused() {
        for (name, expected) in [
            ("--upload-pack=x", GitRefError::Dash),
            ("a b", GitRefError::Character),
            ("a\nb", GitRefError::Character),
            ("a:b", GitRefError::Character),
            ("a..b", GitRefError::NotAName),
            ("a@{1}", GitRefError::NotAName),
            ("@", GitRefError::NotAName),
            ("a.", GitRefError::NotAName),
            ("a//b", GitRefError::Part),
            ("refs/heads/", GitRefError::Part),
            (".a", GitRefError::Part),
            ("a.lock", GitRefError::Part),
            ("a/", GitRefError::Part),
            ("@{-1}", GitRefError::NotAName),
            ("a\\b", GitRefError::Character),
            ("x\u{7f}", GitRefError::Character),
        ] {
            assert_eq!(name.parse::<GitRef>(), Err(expected), "{name}");
        }
        assert_eq!("x".repeat(256).parse::<GitRef>(), Err(GitRefError::TooLong));
    }
}
