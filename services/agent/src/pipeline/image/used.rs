//! Whether a build took what its key was computed with.
//!
//! Images are pinned to the digests of the key before they are built from. This sees when that did not work: when an engine
//! does not obey, a frontend asks for an image that no file names, or a feature's tag moves after the key was computed. What is
//! downloaded needs no look: BuildKit checks checksums and commits, and without them the key is not looked for.

use std::{collections::BTreeSet, path::Path};

use hearth_domain::{Input, KeyManifest};
use hearth_runtime::blocking;
use oci_spec::distribution::Reference;

use crate::{clone_files::CloneFiles, devcontainer::lockfile, key::Lockfile};

/// What a build took.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// Images, as BuildKit names them.
    pub images: BTreeSet<String>,
    /// The lockfile that the devcontainer CLI wrote; empty without features of a registry.
    pub features: Lockfile,
}

impl Used {
    /// Reads what the devcontainer CLI wrote into the folder of a build.
    pub(super) async fn read(
        images: BTreeSet<String>,
        files: CloneFiles,
        config: &Path,
    ) -> Result<Self, String> {
        let config = config.to_owned();
        let features = blocking(move || {
            let text = lockfile(&files, &config).map_err(|error| error.to_string())?;
            Lockfile::parse(&text.unwrap_or_default()).map_err(|error| error.to_string())
        });
        Ok(Self {
            images,
            features: features.await?,
        })
    }

    /// What is not in the key: a sentence about the first that is another one.
    pub(super) fn beside_the_key(&self, key: &KeyManifest) -> Option<String> {
        let image = self.images.iter().find_map(|image| other_image(image, key));
        image.or_else(|| {
            let mut features = self.features.pinned();
            features.find_map(|(id, digest)| other_feature(id, digest, key))
        })
    }
}

/// Whether BuildKit's name of an image is that of `named`: by its digest, where it has one.
pub(super) fn is_same(used: &str, named: &str) -> bool {
    let (Ok(used), Ok(named)) = (used.parse::<Reference>(), named.parse::<Reference>()) else {
        return false;
    };
    let is_there = used.registry() == named.registry() && used.repository() == named.repository();
    is_there
        && match named.digest() {
            Some(digest) => used.digest() == Some(digest),
            None => used.tag() == named.tag() || used.tag().is_none(),
        }
}

fn other_image(image: &str, key: &KeyManifest) -> Option<String> {
    let used = image.parse::<Reference>().ok();
    let place = |image: &Reference| (image.registry().to_owned(), image.repository().to_owned());
    let is_same = |name: &str| {
        let named = name.parse().ok();
        named.as_ref().map(place) == used.as_ref().map(place)
    };
    let digest = used.as_ref().and_then(Reference::digest);
    let keyed = || {
        let images = key.inputs(Input::BaseImage);
        images.filter(|(name, _)| is_same(name))
    };
    // A frontend of which all versions build the same.
    let mut tools = key.inputs(Input::Tool);
    let is_any_version = tools.any(|(name, value)| name == "frontend" && is_same(value));
    if is_any_version || keyed().any(|(_, keyed)| Some(keyed) == digest) {
        return None;
    }
    Some(match keyed().next() {
        Some((name, keyed)) => {
            format!("BuildKit built from {image}, and the key was computed with {name} at {keyed}")
        }
        None => format!("BuildKit built from {image}, which the key does not name"),
    })
}

fn other_feature(id: &str, digest: &str, key: &KeyManifest) -> Option<String> {
    let mut keyed = key.inputs(Input::Feature);
    if keyed.any(|(_, keyed)| keyed == digest) {
        return None;
    }
    let mut keyed = key.inputs(Input::Feature);
    Some(match keyed.find(|(name, _)| *name == id) {
        Some((_, keyed)) => format!(
            "the devcontainer CLI installed the feature {id} at {digest}, and the key was computed with {keyed}"
        ),
        None => format!(
            "the devcontainer CLI installed the feature {id} at {digest}, which the key does not name"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::Progress;

    /// A digest that ends with `hex`.
    fn digest(hex: &str) -> String {
        format!("sha256:{hex:0>64}")
    }

    fn key(inputs: &[(Input, &str, &str)]) -> KeyManifest {
        let mut key = KeyManifest::default();
        for (kind, name, value) in inputs {
            key.insert(*kind, *name, *value);
        }
        key
    }

    fn used(images: &[String]) -> Used {
        Used {
            images: images.iter().cloned().collect(),
            features: Lockfile::default(),
        }
    }

    #[test]
    fn the_image_of_another_service_is_known_by_its_name_or_its_digest() {
        let (one, two) = (digest("1"), digest("2"));
        let own = "hearth-ws-1_service_2:1";
        assert!(is_same(&format!("docker.io/library/{own}@{one}"), own));
        assert!(!is_same("docker.io/library/hearth-ws-1_service_2:2", own));
        assert!(!is_same("docker.io/library/hearth-ws-1_service_3:1", own));
        let cached = format!("r:5/own@{one}");
        assert!(is_same(&cached, &cached));
        assert!(!is_same(&format!("r:5/own@{two}"), &cached));
    }

    #[test]
    fn images_are_those_of_the_key_in_all_spellings_or_are_named_with_both_digests() {
        let (one, two) = (digest("1"), digest("2"));
        let key = key(&[
            (Input::BaseImage, "debian:12", &one),
            (Input::BaseImage, "r:5/tools", &two),
            (Input::Tool, "frontend", "docker/dockerfile:1"),
        ]);
        let of = |images: &[String]| used(images).beside_the_key(&key);
        let same = [
            format!("docker.io/library/debian@{one}"),
            format!("docker.io/library/debian:12@{one}"),
            format!("r:5/tools:latest@{two}"),
            format!("docker.io/docker/dockerfile:1@{two}"),
        ];
        assert_eq!(of(&same), None);
        for (image, said) in [
            (format!("docker.io/library/debian:12@{two}"), Some(&one)),
            // The digest of another image of the key.
            (format!("r:5/tools@{one}"), Some(&two)),
            // Nobody knows which one it was.
            ("r:5/tools:latest".to_owned(), Some(&two)),
            (format!("r:5/hidden@{one}"), None),
            (format!("s:5/tools@{two}"), None),
            (format!("docker.io/docker/other:1@{two}"), None),
            ("no image".to_owned(), None),
        ] {
            let all = [&same[..], std::slice::from_ref(&image)].concat();
            let told = of(&all).unwrap_or_default();
            assert!(told.contains(&image), "{image}: {told}");
            assert_eq!(told.contains("computed with"), said.is_some(), "{told}");
            assert!(said.is_none_or(|digest| told.contains(digest)), "{told}");
        }
    }

    #[test]
    fn features_are_those_of_the_key() {
        let (one, two) = (digest("1"), digest("2"));
        let key = key(&[(Input::Feature, "r/f/a:1", &one)]);
        let of = |id: &str, digest: &str| {
            let lockfile = serde_json::json!({ "features": { id: { "integrity": digest } } });
            let used = Used {
                images: BTreeSet::new(),
                features: Lockfile::parse(&lockfile.to_string()).unwrap(),
            };
            used.beside_the_key(&key)
        };
        assert_eq!(of("r/f/a:1", &one), None);
        let moved = of("r/f/a:1", &two).unwrap();
        assert!(moved.contains(&one) && moved.contains(&two), "{moved}");
        assert!(
            of("r/f/b:1", &two)
                .unwrap()
                .contains("the key does not name")
        );
    }

    #[test]
    fn all_images_of_recorded_builds_are_seen() {
        for (recorded, frontend) in [
            (include_str!("../../../tests/buildkit/images.txt"), false),
            (include_str!("../../../tests/buildkit/pinned.txt"), false),
            (include_str!("../../../tests/buildkit/frontend.txt"), true),
        ] {
            let mut progress = Progress::default();
            for line in recorded.lines() {
                progress.line(line);
            }
            let (base, other) = (digest("ba5e"), digest("07e4"));
            let all: &[(&str, &str)] = if frontend {
                &[("localhost:5000/o/frontend:1", &other)]
            } else {
                &[
                    ("localhost:5000/base/tiny:1", &base),
                    ("localhost:5000/o/copied:1", &other),
                    ("localhost:5000/o/mounted:1", &base),
                ]
            };
            let images = || progress.images().clone();
            let keyed = |left_out: usize| {
                let kept = all.iter().enumerate().filter(|(n, _)| *n != left_out);
                let kept: Vec<_> = kept
                    .map(|(_, (name, digest))| (Input::BaseImage, *name, *digest))
                    .collect();
                let used = Used {
                    images: images(),
                    features: Lockfile::default(),
                };
                used.beside_the_key(&key(&kept))
            };
            assert_eq!(keyed(usize::MAX), None);
            for (n, (name, _)) in all.iter().enumerate() {
                let told = keyed(n).unwrap();
                let repository = name.rsplit_once(':').unwrap().0;
                assert!(told.contains(repository), "{name}: {told}");
            }
        }
    }
}
