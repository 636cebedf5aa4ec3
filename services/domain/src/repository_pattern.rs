use std::{fmt, str::FromStr};

use wildmatch::WildMatch;

use crate::Repository;

const MAX_BYTES: usize = 256;
const MAX_PATTERNS: usize = 100;

/// A pattern of `HOST/OWNER/NAME` in which `*` stands for any text, `/` included, and `?` for one character. Letter case does
/// not count.
#[derive(Clone, Debug, PartialEq)]
pub struct RepositoryPattern {
    text: String,
    matcher: WildMatch,
}

/// The text is not a pattern of repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be patterns of HOST/OWNER/NAME, for example github.com/acme/*, without a scheme, a user or .git; at most 100, of 256 bytes each"
)]
pub struct RepositoryPatternError;

impl RepositoryPattern {
    /// Whether it is meant for a repository, by whichever URL that is reached.
    pub fn matches(&self, repository: &Repository) -> bool {
        self.matcher.matches(&repository.to_string())
    }

    fn is_all(&self) -> bool {
        self.text.bytes().all(|byte| byte == b'*')
    }
}

impl FromStr for RepositoryPattern {
    type Err = RepositoryPatternError;

    fn from_str(text: &str) -> Result<Self, RepositoryPatternError> {
        // What a name of a repository never has would match nothing, and nobody would notice.
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~/:[]*?".contains(&byte);
        let has_scheme = text.contains("://");
        let names_nothing = text.is_empty() || text.starts_with('/') || text.ends_with('/');
        if names_nothing
            || text.len() > MAX_BYTES
            || has_scheme
            || text.to_ascii_lowercase().ends_with(".git")
            || !text.bytes().all(good)
        {
            return Err(RepositoryPatternError);
        }
        Ok(Self {
            text: text.to_owned(),
            matcher: WildMatch::new_case_insensitive(text),
        })
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which repositories are meant: those that one of the patterns matches; without patterns, all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RepositoryPatterns(Vec<RepositoryPattern>);

impl RepositoryPatterns {
    /// Those of a list.
    pub fn new<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, RepositoryPatternError> {
        let patterns = patterns.into_iter().map(|pattern| pattern.trim().parse());
        let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
        match patterns.len() > MAX_PATTERNS {
            true => Err(RepositoryPatternError),
            false => Ok(Self(patterns)),
        }
    }

    /// Whether a repository is meant.
    pub fn allow(&self, repository: &Repository) -> bool {
        self.are_all() || self.0.iter().any(|pattern| pattern.matches(repository))
    }

    /// Whether all repositories are meant, whatever their names.
    pub fn are_all(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(RepositoryPattern::is_all)
    }

    /// Their texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pattern| pattern.text.as_str())
    }
}

/// Patterns with commas between them. Empty: all repositories.
impl FromStr for RepositoryPatterns {
    type Err = RepositoryPatternError;

    fn from_str(text: &str) -> Result<Self, RepositoryPatternError> {
        match text {
            "" => Ok(Self::default()),
            text => Self::new(text.split(',')),
        }
    }
}

impl fmt::Display for RepositoryPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(text: &str) -> RepositoryPatterns {
        text.parse().expect("patterns")
    }

    #[test]
    fn every_spelling_of_a_repository_is_the_same_to_a_pattern() {
        let acme = patterns("github.com/acme/*, git.example:8443/x/y");
        for (url, allowed) in [
            ("https://github.com/acme/shop", true),
            ("https://github.com/acme/shop.git/", true),
            ("https://GitHub.com/ACME/Shop", true),
            ("git@github.com:acme/shop.git", true),
            ("ssh://git@github.com:22/acme/shop", true),
            ("https://github.com:443/acme/shop", true),
            ("https://git.example:8443/x/y", true),
            ("https://git.example/x/y", false),
            ("https://github.com/acme2/shop", false),
            ("https://github.com/evil/acme", false),
            ("https://github.com.evil.example/acme/shop", false),
            ("https://evil.example/github.com/acme/shop", false),
            ("https://github.com:8443/acme/shop", false),
            ("https://github.com./acme/shop", false),
        ] {
            let repository: Repository = url.parse().expect(url);
            assert_eq!(acme.allow(&repository), allowed, "{url}");
        }
    }

    #[test]
    fn without_patterns_and_with_a_star_alone_all_are_meant() {
        let any: Repository = "https://git.example/a/b".parse().expect("a repository");
        for all in ["", "*", "github.com/acme/*,**"] {
            assert!(
                patterns(all).are_all() && patterns(all).allow(&any),
                "{all}"
            );
        }
        assert!(!patterns("*/*").are_all());
        assert_eq!(patterns(" a/b , c/*").to_string(), "a/b,c/*");
    }

    #[test]
    fn what_would_match_nothing_is_refused() {
        for bad in [
            ",",
            "a/b,",
            "https://github.com/acme/*",
            "git@github.com:acme/shop",
            "github.com/acme/shop.git",
            "/acme/shop",
            "github.com/acme/",
            "github.com/a b",
            "github.com/ac\nme",
            "github.com/ä",
            &"x".repeat(257),
            &vec!["a/b"; 101].join(","),
        ] {
            assert_eq!(
                bad.parse::<RepositoryPatterns>(),
                Err(RepositoryPatternError),
                "{bad}"
            );
        }
    }
}
