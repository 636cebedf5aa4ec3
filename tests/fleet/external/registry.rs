use std::collections::BTreeMap;

use async_trait::async_trait;
use hearth_agent::external::registry::Registry;
use hearth_domain::{Digest, Login};
use hearth_layers::{ImageInfo, RegistryError};
use hearth_tests::images::{Image, Images};

/// The base image of every repository.
pub const BASE: &str = "localhost:1/base:1";
/// Compressed bytes of every image.
pub const BYTES: u64 = 1000;

/// One registry for all nodes. The control plane asks it over its socket.
pub struct FakeRegistry(Images);

impl Default for FakeRegistry {
    fn default() -> Self {
        let registry = Self(Images::default());
        registry.put(BASE, &Image::new("base", BYTES, &[]));
        registry
    }
}

impl FakeRegistry {
    /// Its name for the control plane: agents call it so in what they push, and never connect to it.
    pub fn host(&self) -> String {
        self.0.host()
    }

    /// Whether any repository has an image.
    pub fn has(&self, image: &Image) -> bool {
        self.0.has(&image.digest())
    }

    /// Adds an image under `repository:tag`.
    pub fn put(&self, name: &str, image: &Image) {
        let (repository, tag) = name.rsplit_once(':').expect("a tag");
        self.0.tag(repository, tag, image);
    }

    /// `repository:tag` or `repository@digest`.
    pub fn find(&self, name: &str) -> Result<Image, RegistryError> {
        let found = self.0.find(name);
        found.ok_or_else(|| RegistryError::NotFound(name.to_owned()))
    }
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn digest(&self, image: &str, _: Option<&Login>) -> Result<Digest, RegistryError> {
        self.find(image).map(|image| image.digest())
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
        let digest = self.find(image)?.digest();
        Ok(ImageInfo {
            layers: BTreeMap::from([(digest.to_string(), BYTES)]),
            bytes: BYTES,
            digest,
        })
    }

    async fn tag(&self, image: &str, tag: &str, _: Option<&Login>) -> Result<(), RegistryError> {
        let (repository, _) = image.split_once('@').expect("a digest");
        self.0.tag(repository, tag, &self.find(image)?);
        Ok(())
    }

    async fn delete(&self, image: &str, _: Option<&Login>) -> Result<(), RegistryError> {
        let digest = self.find(image)?.digest();
        let (repository, _) = image.split_once('@').expect("a digest");
        self.0.lose(repository, &digest);
        Ok(())
    }
}
