//! Container registries: what the agent asks of them, and the OCI distribution protocol.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hearth_domain::{Digest, Platform};
use hearth_layers::{ImageInfo, Registries, RegistryClient, RegistryError, RegistryLogin};

/// Container registries.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The digest that a reference names now.
    async fn digest(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<Digest, RegistryError>;
    /// An image's configuration as JSON.
    async fn config(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<String, RegistryError>;
    /// The annotations of a manifest.
    async fn annotations(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<BTreeMap<String, String>, RegistryError>;
    /// Digest, size and annotations of an image.
    async fn inspect(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<ImageInfo, RegistryError>;
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

    fn client(&self, login: Option<&RegistryLogin>) -> RegistryClient {
        self.registries
            .client(login.cloned(), self.platform.to_string())
    }
}

#[async_trait]
impl Registry for OciRegistry {
    async fn digest(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<Digest, RegistryError> {
        self.client(login).digest(image).await
    }

    async fn config(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<String, RegistryError> {
        self.client(login).config(image).await
    }

    async fn annotations(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<BTreeMap<String, String>, RegistryError> {
        self.client(login).annotations(image).await
    }

    async fn inspect(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<ImageInfo, RegistryError> {
        self.client(login).inspect(image).await
    }
}
