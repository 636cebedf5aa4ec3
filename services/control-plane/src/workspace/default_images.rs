//! The images for repositories that name none, by repository.

use std::str::FromStr;

use hearth_domain::{Repository, RepositoryPattern};

/// Longest name of an image.
const MAX_IMAGE_BYTES: usize = 512;
/// Most rules: all images are fetched by every node.
const MAX_RULES: usize = 20;

/// What the operator decided, as patterns of repositories. The first that matches counts.
#[derive(Clone, Debug, Default)]
pub struct DefaultImages(Vec<(RepositoryPattern, String)>);

/// The text is no list of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be PATTERN=IMAGE, separated by commas, at most 20; a pattern is one of HOST/OWNER/NAME, and an image a name as `docker pull` takes it"
)]
pub struct DefaultImagesParseError;

impl FromStr for DefaultImages {
    type Err = DefaultImagesParseError;

    fn from_str(text: &str) -> Result<Self, DefaultImagesParseError> {
        let rules = text.split(',').map(|rule| {
            let (pattern, image) = rule.trim().split_once('=').ok_or(DefaultImagesParseError)?;
            let pattern = pattern.parse().map_err(|_| DefaultImagesParseError)?;
            match is_image(image) {
                true => Ok((pattern, image.to_owned())),
                false => Err(DefaultImagesParseError),
            }
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        match rules.len() > MAX_RULES {
            true => Err(DefaultImagesParseError),
            false => Ok(Self(rules)),
        }
    }
}

impl DefaultImages {
    /// The image for a repository. `None`: its node decides.
    pub(crate) fn of(&self, repository: &Repository) -> Option<&str> {
        let mut rules = self.0.iter();
        let found = rules.find(|(pattern, _)| pattern.matches(repository));
        found.map(|(_, image)| image.as_str())
    }

    /// All images, each once.
    pub(crate) fn all(&self) -> Vec<String> {
        let mut all: Vec<_> = self.0.iter().map(|(_, image)| image.clone()).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// Whether it looks like the name of an image. Agents, and then engines, read it whole.
fn is_image(image: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    image.len() <= MAX_IMAGE_BYTES
        && image.bytes().all(good)
        && image
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_counts() {
        let images: DefaultImages =
            "github.com/acme/tool=registry.example:5000/base/tool:1,github.com/acme/*=debian:12, *=debian:12"
                .parse()
                .expect("rules");
        for (repository, image) in [
            (
                "https://github.com/acme/tool",
                "registry.example:5000/base/tool:1",
            ),
            ("https://github.com/Acme/other", "debian:12"),
            ("git@git.example:x/y", "debian:12"),
        ] {
            let repository = repository.parse().expect("a repository");
            assert_eq!(images.of(&repository), Some(image), "{repository}");
        }
        assert_eq!(
            images.all(),
            ["debian:12", "registry.example:5000/base/tool:1"]
        );
        let any = "https://github.com/a/b".parse().expect("a repository");
        assert_eq!(DefaultImages::default().of(&any), None);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "debian:12",
            "=debian:12",
            "a/b=",
            "a/b=--privileged",
            "a/b=x y",
            "a/b=x=y",
            "a/b=debian:12,",
            "https://github.com/a/b=debian:12",
            &vec!["a/b=debian:12"; 21].join(","),
        ] {
            assert!(text.parse::<DefaultImages>().is_err(), "{text}");
        }
    }
}
