use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use async_trait::async_trait;
use hearth_agent::external::registry::Registry;
use hearth_domain::{Digest, Login};
use hearth_layers::{ImageInfo, RegistryError};

use super::lock;

/// The base image of every repository.
pub const BASE: &str = "localhost:1/base:1";
/// Compressed bytes of every image.
pub const BYTES: u64 = 1000;

/// One registry for all nodes: digests by tag.
pub struct FakeRegistry(Mutex<Contents>);

struct Contents {
    tags: BTreeMap<String, Digest>,
    /// `repository@digest`.
    images: BTreeSet<String>,
}

impl Default for FakeRegistry {
    fn default() -> Self {
        let registry = Self(Mutex::new(Contents {
            tags: BTreeMap::new(),
            images: BTreeSet::new(),
        }));
        registry.put(BASE, &Digest::of("base"));
        registry
    }
}

impl FakeRegistry {
    /// Adds an image under `repository:tag`.
    pub fn put(&self, name: &str, digest: &Digest) {
        let (repository, _) = name.rsplit_once(':').expect("a tag");
        let mut contents = lock(&self.0);
        contents.tags.insert(name.to_owned(), digest.clone());
        contents.images.insert(format!("{repository}@{digest}"));
    }

    /// Whether any repository has an image.
    pub fn has(&self, digest: &Digest) -> bool {
        let suffix = format!("@{digest}");
        lock(&self.0)
            .images
            .iter()
            .any(|image| image.ends_with(&suffix))
    }

    /// The digest of `repository:tag` or `repository@digest`.
    pub fn find(&self, name: &str) -> Result<Digest, RegistryError> {
        let contents = lock(&self.0);
        let found = match name.split_once('@') {
            Some((_, digest)) => contents
                .images
                .contains(name)
                .then(|| digest.parse().expect("a digest")),
            None => contents.tags.get(name).cloned(),
        };
        found.ok_or_else(|| RegistryError::NotFound(name.to_owned()))
    }
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn digest(&self, image: &str, _: Option<&Login>) -> Result<Digest, RegistryError> {
        self.find(image)
    }

    async fn config(&self, image: &str, _: Option<&Login>) -> Result<String, RegistryError> {
        self.find(image).map(|_| "{}".to_owned())
    }

    async fn annotations(
        &self,
        image: &str,
        _: Option<&Login>,
    ) -> Result<BTreeMap<String, String>, RegistryError> {
        self.find(image).map(|_| BTreeMap::new())
    }

    async fn inspect(&self, image: &str, _: Option<&Login>) -> Result<ImageInfo, RegistryError> {
        self.find(image).map(|digest| ImageInfo {
            layers: BTreeMap::from([(digest.to_string(), BYTES)]),
            bytes: BYTES,
            digest,
        })
    }

    async fn delete(&self, image: &str, _: Option<&Login>) -> Result<(), RegistryError> {
        let digest = self.find(image)?;
        let mut contents = lock(&self.0);
        contents.images.remove(image);
        contents.tags.retain(|_, tagged| *tagged != digest);
        Ok(())
    }
}
