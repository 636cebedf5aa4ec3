use std::str::FromStr;

use hearth_domain::GitRef;
use wildmatch::WildMatch;

/// Short names that are those of other refs at some git host: pull and merge requests, which have the content of forks
/// (GitHub, GitLab, Bitbucket, Gerrit), and what git itself keeps there. By their full names they never write.
const NO_BRANCHES: [&str; 6] = [
    "pull/",
    "merge-requests/",
    "pull-requests/",
    "changes/",
    "remotes/",
    "notes/",
];
const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
/// What a request without a ref stands for in patterns.
const DEFAULT_BRANCH: &str = "HEAD";

/// Which refs of a repository may write to its cache: patterns in which `*` stands for any text, `/` included, and `?`
/// for one character. They are of branches, by their short or full names; those that begin with `refs/tags/` are of tags.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheWriters {
    branches: Vec<WildMatch>,
    tags: Vec<WildMatch>,
}

/// The text names no refs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be patterns of refs, separated by commas, none of them empty")]
pub struct WritersParseError;

impl FromStr for CacheWriters {
    type Err = WritersParseError;

    fn from_str(text: &str) -> Result<Self, WritersParseError> {
        let mut writers = Self {
            branches: Vec::new(),
            tags: Vec::new(),
        };
        for pattern in text.split(',').map(str::trim) {
            let list = match pattern {
                "" => return Err(WritersParseError),
                tags if tags.starts_with(TAGS) => &mut writers.tags,
                _ => &mut writers.branches,
            };
            list.push(WildMatch::new(pattern));
        }
        Ok(writers)
    }
}

impl CacheWriters {
    /// Whether an attempt at this ref may write.
    ///
    /// A commit by its hash never may: a git host serves the commits of forks under the repository that they were made
    /// from, so a hash does not tell whose content it is. A short name is judged as a branch; the agent, which learns that
    /// it is a tag, does not write then.
    pub(crate) fn allow(&self, git_ref: &GitRef) -> bool {
        let matches = |patterns: &[WildMatch], name: &str| {
            patterns.iter().any(|pattern| pattern.matches(name))
        };
        let branch = |short: &str| {
            matches(&self.branches, short) || matches(&self.branches, &format!("{BRANCHES}{short}"))
        };
        match git_ref {
            GitRef::Default => matches(&self.branches, DEFAULT_BRANCH),
            GitRef::Branch(short) => branch(short),
            GitRef::Name(short) => {
                !NO_BRANCHES.iter().any(|no| short.starts_with(no)) && branch(short)
            }
            GitRef::Tag(_) => matches(&self.tags, &git_ref.to_string()),
            GitRef::Commit(_) | GitRef::Other(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_the_branches_and_tags_that_write_and_nothing_else_does() {
        for (patterns, git_ref, allowed) in [
            ("*", "", true),
            ("*", "main", true),
            ("*", "feature/a/b", true),
            ("*", "refs/heads/pull/7", true),
            ("*", "refs/tags/v1.0", false),
            ("v*", "refs/tags/v1.0", false),
            ("refs/*", "refs/tags/v1.0", false),
            ("refs/tags/v*", "refs/tags/v1.0", true),
            ("refs/tags/v*", "refs/tags/w1.0", false),
            ("refs/tags/*", "main", false),
            ("refs/tags/*", "refs/heads/tags/x", false),
            ("refs/heads/main", "main", true),
            ("refs/heads/main", "refs/heads/main", true),
            ("refs/heads/rel*", "release/1", true),
            ("*", "refs/heads/main", true),
            ("*", "refs/pull/7/head", false),
            ("*", "pull/7/merge", false),
            ("*", "refs/merge-requests/7/head", false),
            ("*", "merge-requests/7/head", false),
            ("*", "refs/pull-requests/7/from", false),
            ("*", "pull-requests/7/merge", false),
            ("*", "refs/changes/34/1234/5", false),
            ("*", "changes/34/1234/5", false),
            ("*", "refs/remotes/fork/main", false),
            ("*", "refs/notes/commits", false),
            ("*", "refs/for/main", false),
            ("*,refs/*,refs/pull/*", "refs/pull/7/head", false),
            ("*", "pulled", true),
            ("*", "changes-of-may", true),
            ("*", "0123456789abcdef0123456789abcdef01234567", false),
            ("main,release/*", "main", true),
            ("main, release/*", "release/1/2", true),
            ("main,release/*", "refs/heads/release/1", true),
            ("main,release/*", "", false),
            ("HEAD", "", true),
            ("HEAD,v?.*", "v1.2", true),
            ("HEAD,v?.*", "v10.2", false),
            ("refs/heads/*", "", false),
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
