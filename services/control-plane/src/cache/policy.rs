use std::str::FromStr;

use hearth_domain::GitRef;
use wildmatch::WildMatch;

/// Where the content of forks appears in the repository that they were made from: GitHub's and GitLab's own refs.
const FORKS: [&str; 4] = [
    "refs/pull/",
    "pull/",
    "refs/merge-requests/",
    "merge-requests/",
];
/// What a request without a ref stands for in patterns.
const DEFAULT_BRANCH: &str = "HEAD";

/// Which refs of a repository may write to its cache: patterns in which `*` stands for any text, `/` included, and `?`
/// for one character.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheWriters(Vec<WildMatch>);

/// The text names no refs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be patterns of refs, separated by commas, none of them empty")]
pub struct WritersParseError;

impl FromStr for CacheWriters {
    type Err = WritersParseError;

    fn from_str(text: &str) -> Result<Self, WritersParseError> {
        let patterns = text.split(',').map(|one| match one.trim() {
            "" => Err(WritersParseError),
            pattern => Ok(WildMatch::new(pattern)),
        });
        patterns.collect::<Result<_, _>>().map(Self)
    }
}

impl CacheWriters {
    /// Whether an attempt at this ref may write.
    ///
    /// A commit by its hash never may: a git host serves the commits of forks under the repository that they were made
    /// from, so a hash does not tell whose content it is.
    pub(crate) fn allow(&self, git_ref: &GitRef) -> bool {
        let (name, short) = match git_ref {
            GitRef::Commit(_) => return false,
            GitRef::Default => (DEFAULT_BRANCH.to_owned(), None),
            GitRef::Branch(short) | GitRef::Tag(short) => (git_ref.to_string(), Some(short)),
            GitRef::Name(name) | GitRef::Other(name) => (name.clone(), None),
        };
        if FORKS.iter().any(|prefix| name.starts_with(prefix)) {
            return false;
        }
        self.0.iter().any(|pattern| {
            pattern.matches(&name) || short.is_some_and(|short| pattern.matches(short))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_who_writes_and_forks_never_do() {
        for (patterns, git_ref, allowed) in [
            ("*", "", true),
            ("*", "main", true),
            ("*", "feature/a/b", true),
            ("*", "v1.0", true),
            ("*", "refs/heads/main", true),
            ("*", "refs/pull/7/head", false),
            ("*", "pull/7/merge", false),
            ("*", "refs/merge-requests/7/head", false),
            ("*", "merge-requests/7/head", false),
            ("*", "pulled", true),
            ("*", "0123456789abcdef0123456789abcdef01234567", false),
            ("main,release/*", "main", true),
            ("main, release/*", "release/1/2", true),
            ("main,release/*", "refs/heads/release/1", true),
            ("main,release/*", "", false),
            ("HEAD", "", true),
            ("HEAD,v?.*", "v1.2", true),
            ("HEAD,v?.*", "v10.2", false),
            ("main", "mainly", false),
            ("pull/*", "pull/7/head", false),
            ("*n", "main", true),
            ("m*x", "main", false),
        ] {
            let writers: CacheWriters = patterns.parse().expect("patterns");
            let parsed = git_ref.parse().expect("a ref");
            assert_eq!(writers.allow(&parsed), allowed, "{patterns} {git_ref}");
        }
        for bad in ["", "main,", ","] {
            assert_eq!(bad.parse::<CacheWriters>(), Err(WritersParseError));
        }
    }
}
