//! The digests that names of base images stand for in an attempt: those in its cache key.
//!
//! An engine serves a tag that it has, wherever the registry's has gone since. What is built must be what the key says, on
//! each node: BuildKit and the devcontainer CLI get these names by their digests.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use oci_spec::distribution::Reference;

/// Digests by name. There are none until the key is known.
#[derive(Clone, Debug, Default)]
pub struct Pins(Arc<OnceLock<BTreeMap<String, String>>>);

impl Pins {
    /// Pins names, once. Names with a digest need none, and those that are not understood get none.
    pub fn pin<'a>(&self, images: impl Iterator<Item = (&'a str, &'a str)>) {
        let pins = images.filter_map(|(name, digest)| {
            let name = whole(name)?;
            let (repository, _) = name.rsplit_once(':')?;
            Some((name.clone(), format!("{repository}@{digest}")))
        });
        // A key is computed once.
        let _ = self.0.set(pins.collect());
    }

    /// The name by digest of an image that is named like this.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get()?.get(&whole(name)?).map(String::as_str)
    }

    /// All of them: whole names by tag, and by digest.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let pins = self.0.get().into_iter().flatten();
        pins.map(|(name, pinned)| (name.as_str(), pinned.as_str()))
    }
}

/// A name with its registry and tag, as BuildKit writes it. `None` for one with a digest.
fn whole(name: &str) -> Option<String> {
    let reference: Reference = name.parse().ok()?;
    let tag = reference.tag().unwrap_or("latest");
    let name = format!("{}/{}:{tag}", reference.registry(), reference.repository());
    reference.digest().is_none().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_pinned_in_all_spellings_and_no_other_is() {
        let pins = Pins::default();
        assert_eq!(pins.of("debian"), None);
        let names = ["debian", "r:5/base/tiny:1", "x@sha256:a", "No Name"];
        pins.pin(names.map(|name| (name, "sha256:d")).into_iter());
        for (name, pinned) in [
            ("debian", Some("docker.io/library/debian@sha256:d")),
            ("debian:latest", Some("docker.io/library/debian@sha256:d")),
            (
                "docker.io/library/debian",
                Some("docker.io/library/debian@sha256:d"),
            ),
            ("r:5/base/tiny:1", Some("r:5/base/tiny@sha256:d")),
            ("r:5/base/tiny:2", None),
            (
                "debian@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                None,
            ),
            ("No Name", None),
        ] {
            assert_eq!(pins.of(name), pinned, "{name}");
        }
        assert_eq!(pins.all().count(), 2);
    }
}
