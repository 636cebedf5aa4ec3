//! Which images a workspace may use: not those of other workspaces, nor those in the caches of other repositories.

use hearth_domain::{WorkspaceId, is_of_other_cache, repository_and_tag};

use super::{names::Names, pins::Pins};
use crate::disk::MARK;

/// Tells by its names whose an image is: what an image says about itself was written by whoever built it.
#[derive(Clone, Debug)]
pub struct OwnImages {
    names: Names,
    /// The repository of the cache that the attempt uses.
    cache: Option<String>,
    pins: Pins,
}

impl OwnImages {
    /// Those of an attempt, which uses the cache in the repository `cache`.
    pub fn of(workspace: &WorkspaceId, cache: Option<String>) -> Self {
        Self {
            names: Names::of(workspace),
            cache,
            pins: Pins::default(),
        }
    }

    /// The digests of its base images.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The beginning of the names that the workspace gives to its images.
    pub fn prefix(&self) -> &str {
        self.names.volume()
    }

    /// The repository of the cache that the attempt uses.
    pub fn cache(&self) -> Option<&str> {
        self.cache.as_deref()
    }

    /// Whether a name of an image is another workspace's, or one in another repository's cache.
    pub fn is_foreign_name(&self, name: &str) -> bool {
        let short = name.strip_prefix("docker.io/library/").unwrap_or(name);
        let of_workspace =
            !short.contains('/') && short.starts_with("hearth-") && !self.names.is_own_image(short);
        of_workspace || is_of_other_cache(name, self.cache())
    }

    /// Whether an image with all of these names is: `repository:tag`, and `repository@digest`.
    pub fn is_foreign<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> bool {
        let names = names.into_iter().map(String::as_str);
        let (digests, tags): (Vec<&str>, Vec<&str>) = names.partition(|name| name.contains('@'));
        let mut repositories = digests.iter().filter_map(|name| name.split('@').next());
        if self
            .cache()
            .is_some_and(|own| repositories.any(|repository| repository == own))
        {
            return false;
        }
        // The mark says nothing about whose an image is, but that it is in a cache, or of a workspace.
        let has_tag = !tags.is_empty();
        let mut others = tags
            .into_iter()
            .filter(|tag| repository_and_tag(tag).0 != MARK);
        has_tag && others.all(|tag| self.is_foreign_name(tag))
    }

    /// Whether the attempt may give an image this name.
    pub fn may_name(&self, repository: &str) -> bool {
        let (repository, _) = repository_and_tag(repository);
        self.names.is_own_image(repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> OwnImages {
        OwnImages::of(&"ws-1".parse().unwrap(), Some("r:5/own/app".to_owned()))
    }

    #[test]
    fn names_of_images_tell_whose_they_are() {
        for (name, foreign, may) in [
            ("debian:12", false, false),
            ("r:5/base/tiny:1", false, false),
            // The names in its cache are the agent's to give.
            ("r:5/own/app:devcontainer-cache-k1", false, false),
            ("r:5/other/app:devcontainer-cache-k1", true, false),
            ("r:5/other/app:devcontainer-cache", true, false),
            ("hearth-ws-1:1", false, true),
            ("hearth-ws-1-app", false, true),
            ("hearth-ws-2:1", true, false),
            ("docker.io/library/hearth-ws-2-app:latest", true, false),
            ("hearth-cache:aa", true, false),
            ("r:5", false, false),
        ] {
            assert_eq!(own().is_foreign_name(name), foreign, "{name}");
            assert_eq!(own().may_name(name), may, "{name}");
        }
    }

    #[test]
    fn all_names_of_an_image_together_tell_whose_it_is() {
        const OTHER: &str = "r:5/other/app:devcontainer-cache-k1";
        let of = |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.to_owned()).collect() };
        for (tags, digests, foreign) in [
            // Built here, or fetched by its digest, which leaves no tag but the mark.
            (&[OTHER, "hearth-cache:aa"][..], &[][..], true),
            (&["hearth-cache:aa"], &["r:5/other/app@sha256:aa"], true),
            // Docker 26 lists it among the tags.
            (
                &["hearth-cache:aa", "r:5/other/app@sha256:aa"],
                &["hearth-cache@sha256:aa"],
                true,
            ),
            (
                &["hearth-cache:aa", "r:5/own/app@sha256:aa"],
                &["hearth-cache@sha256:aa"],
                false,
            ),
            (&["hearth-cache:aa"], &["r:5/own/app@sha256:aa"], false),
            (&["hearth-cache:aa"], &[], true),
            // The same image in two caches.
            (&[OTHER], &["r:5/own/app@sha256:aa"], false),
            (&[OTHER, "debian:12"], &[], false),
            (&["debian:12", "hearth-cache:aa"], &[], false),
            // A base image that was fetched by its digest.
            (&[], &["debian@sha256:aa"], false),
            (&[], &[], false),
        ] {
            assert_eq!(
                own().is_foreign(&of(&[tags, digests].concat())),
                foreign,
                "{tags:?} {digests:?}"
            );
        }
        let without_cache = OwnImages::of(&"ws-1".parse().unwrap(), None);
        assert!(without_cache.is_foreign(&of(&["hearth-cache:aa", "r:5/own/app@sha256:aa"])));
    }
}
