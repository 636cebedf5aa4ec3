//! Which attempts may ask for things of their node, by repository.

use std::str::FromStr;

use hearth_api::v1::HostAccess;
use hearth_domain::{Repository, RepositoryPattern};

/// What the operator decided, as patterns of repositories. The first that matches counts.
#[derive(Clone, Debug, Default)]
pub struct HostAccessRules(Vec<(RepositoryPattern, HostAccess)>);

/// The text is no list of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be PATTERN=never, PATTERN=trusted or PATTERN=always, separated by commas; a pattern is one of HOST/OWNER/NAME"
)]
pub struct HostAccessParseError;

impl FromStr for HostAccessRules {
    type Err = HostAccessParseError;

    fn from_str(text: &str) -> Result<Self, HostAccessParseError> {
        let rules = text.split(',').map(|rule| {
            let (pattern, access) = rule.trim().split_once('=').ok_or(HostAccessParseError)?;
            let access = match access {
                "never" => HostAccess::Never,
                "trusted" => HostAccess::Trusted,
                "always" => HostAccess::Always,
                _ => return Err(HostAccessParseError),
            };
            let pattern = pattern.parse().map_err(|_| HostAccessParseError)?;
            Ok((pattern, access))
        });
        rules.collect::<Result<_, _>>().map(Self)
    }
}

impl HostAccessRules {
    /// What they say about a repository. Unspecified: nothing, its node decides.
    pub(crate) fn of(&self, repository: &Repository) -> HostAccess {
        let mut rules = self.0.iter();
        rules
            .find(|(pattern, _)| pattern.matches(repository))
            .map_or(HostAccess::Unspecified, |(_, access)| *access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_counts() {
        let rules: HostAccessRules =
            "github.com/acme/tool=always, github.com/acme/*=never,*/x=trusted"
                .parse()
                .expect("rules");
        for (repository, expected) in [
            ("https://github.com/acme/tool", HostAccess::Always),
            ("https://github.com/Acme/Tool", HostAccess::Always),
            ("https://github.com/acme/other", HostAccess::Never),
            ("https://git.example/a/x", HostAccess::Trusted),
            ("https://git.example/a/y", HostAccess::Unspecified),
        ] {
            let repository = repository.parse().expect("a repository");
            assert_eq!(rules.of(&repository), expected, "{repository}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "always",
            "=always",
            "a/b=",
            "a/b=yes",
            "a/b=always,",
            "https://a/b=always",
        ] {
            assert!(text.parse::<HostAccessRules>().is_err(), "{text}");
        }
    }
}
