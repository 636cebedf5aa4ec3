//! Container registries: what the agent asks of them, and the OCI distribution protocol.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hearth_domain::{Digest, Login, Platform};
use hearth_layers::{ImageInfo, Registries, RegistryClient, RegistryError};

/// Container registries.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The digest that a reference names now.
    async fn digest(&self, image: &str, login: Option<&Login>) -> Result<Digest, RegistryError>;
    /// An image's configuration as JSON.
    async fn config(&self, image: &str, login: Option<&Login>) -> Result<String, RegistryError>;
    /// The annotations of a manifest.
    async fn annotations(
        &self,
        image: &str,
        login: Option<&Login>,
    ) -> Result<BTreeMap<String, String>, RegistryError>;
    /// Digest, size and annotations of an image.
    async fn inspect(&self, image: &str, login: Option<&Login>)
    -> Result<ImageInfo, RegistryError>;
    /// Gives the image `repository@digest` one more tag.
    async fn tag(&self, image: &str, tag: &str, login: Option<&Login>)
    -> Result<(), RegistryError>;
    /// Removes the image `repository@digest` with all its tags.
    async fn delete(&self, image: &str, login: Option<&Login>) -> Result<(), RegistryError>;
}

/// Registries that speak the OCI distribution protocol.
#[derive(Debug)]
pub struct OciRegistry {
    registries: Registries,
    platform: Platform,
}

impl OciRegistry {
    /// Registries, asked for images of `platform`.
    pub fn new(platform: Platform) -> Self {
        Self {
            registries: Registries::default(),
            platform,
        }
    }

    fn client(&self, login: Option<&Login>) -> RegistryClient {
        self.registries
            .client(login.cloned(), self.platform.to_string())
    }
}

#[async_trait]
impl Registry for OciRegistry {
    async fn digest(&self, image: &str, login: Option<&Login>) -> Result<Digest, RegistryError> {
        self.client(login).digest(image).await
    }

    async fn config(&self, image: &str, login: Option<&Login>) -> Result<String, RegistryError> {
        self.client(login).config(image).await
    }

    async fn annotations(
        &self,
        image: &str,
        login: Option<&Login>,
    ) -> Result<BTreeMap<String, String>, RegistryError> {
        self.client(login).annotations(image).await
    }

    async fn inspect(
        &self,
        image: &str,
        login: Option<&Login>,
    ) -> Result<ImageInfo, RegistryError> {
        self.client(login).inspect(image).await
    }

    async fn tag(
        &self,
        image: &str,
        tag: &str,
        login: Option<&Login>,
    ) -> Result<(), RegistryError> {
        self.client(login).tag(image, tag).await
    }

    async fn delete(&self, image: &str, login: Option<&Login>) -> Result<(), RegistryError> {
        self.client(login).delete(image).await
    }
}
