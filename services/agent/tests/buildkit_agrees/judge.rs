//! What BuildKit and hearth say of two builds.

use std::path::Path;

use async_trait::async_trait;
use hearth_agent::key::{KeyError, KeyReading, ResolveImage};
use hearth_domain::{Digest, ImageFacts};

use crate::engine::{Build, Engine};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Agree,
    TooCareful,
    TooLax,
    /// BuildKit makes another image every time, so that there is nothing to agree with.
    NeverCached,
}

/// A build, and the same once more.
pub struct Twice {
    pub first: Build,
    pub again: Build,
}

/// Whether an image that was made before a change is fetched after it.
pub fn is_fetched(
    before: &Result<KeyReading, KeyError>,
    after: &Result<KeyReading, KeyError>,
) -> bool {
    match (before, after) {
        (Ok(before), Ok(after)) => {
            before.manifest.key() == after.manifest.key() && after.unpinned.is_empty()
        }
        // Without a key nothing is fetched.
        _ => false,
    }
}

/// Judges what happens after a change.
pub fn verdict(before: &Twice, after: &Build, is_fetched: bool) -> Verdict {
    if before.again.image != before.first.image {
        return Verdict::NeverCached;
    }
    // A WORKDIR of an empty image runs every time and makes the same every time.
    let is_built = !after.ran.is_subset(&before.again.ran) || after.image != before.first.image;
    match (is_built, is_fetched) {
        (true, true) => Verdict::TooLax,
        (false, false) => Verdict::TooCareful,
        _ => Verdict::Agree,
    }
}

/// Copies a folder, with everything that it has.
pub fn copy(from: &Path, to: &Path) {
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-a").arg(from).arg(to).status().unwrap().success());
}

pub struct Resolver<'a>(pub &'a Engine);

#[async_trait]
impl ResolveImage for Resolver<'_> {
    async fn image_digest(&self, reference: &str) -> Result<Digest, String> {
        self.0.image_digest(reference)
    }

    async fn image_facts(&self, reference: &str) -> Result<Option<ImageFacts>, String> {
        self.0.image_facts(reference).map(Some)
    }
}
