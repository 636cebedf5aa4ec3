//! What a key is read from, and what comes of it.

use std::path::Path;

use async_trait::async_trait;
use hearth_domain::{Digest, ImageFacts, KeyManifest};

use crate::devcontainer_config::DevcontainerConfig;

/// What a key is read from.
#[derive(Clone, Copy, Debug)]
pub struct KeySource<'a> {
    /// The clone. Its files must have the modes that git gives them under umask 022: they end up in the image.
    pub clone: &'a Path,
    /// Its configuration.
    pub config: &'a DevcontainerConfig,
    /// `os/architecture` that is built for.
    pub platform: &'a str,
    /// Version of the devcontainer CLI.
    pub cli_version: &'a str,
}

/// Answers what a clone cannot: what references and URLs stand for at this moment. Failures are sentences.
#[async_trait]
pub trait ResolveImage: Send + Sync {
    /// Digest that an image reference stands for: of the index, where there is one. Features are asked for as well.
    async fn image_digest(&self, reference: &str) -> Result<Digest, String>;

    /// What the configuration of a base image adds to builds upon it (`config.Env` and `config.OnBuild`). `None` when
    /// that cannot be told; its builds then count their whole context.
    async fn image_facts(&self, _reference: &str) -> Result<Option<ImageFacts>, String> {
        Ok(None)
    }

    /// Ids of the features that a feature depends on: [`super::dependencies_of`] the annotation `dev.containers.metadata` of
    /// its manifest. `None` when that cannot be told.
    async fn feature_dependencies(&self, _reference: &str) -> Result<Option<Vec<String>>, String> {
        Ok(None)
    }

    /// What a server says of the version of a URL's content, for example its `ETag`. `None` when it says nothing.
    async fn remote_version(&self, _url: &str) -> Option<String> {
        None
    }
}

/// A key manifest, and what is to be said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyReading {
    /// The manifest; [`KeyManifest::key`] is the key.
    pub manifest: KeyManifest,
    /// Why more than necessary was counted, in sentences.
    pub careful: Vec<String>,
    /// What the key cannot see: BuildKit looks whether it has changed, and an exact hit would not. An image with such
    /// inputs should be built, with BuildKit's cache, and not fetched by its key.
    pub unpinned: Vec<String>,
}
