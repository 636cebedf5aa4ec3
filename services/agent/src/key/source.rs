//! What a key is read from, and what comes of it.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use hearth_domain::{Digest, ImageFacts, KeyManifest, KeyedManifest, Platform};

use super::tree::Limits;
use crate::devcontainer::DevcontainerConfig;

/// What a key is read from.
#[derive(Clone, Copy, Debug)]
pub struct KeySource<'a> {
    /// The clone. Its files must have the modes that git gives them under umask 022, which become part of the image.
    pub clone: &'a Path,
    /// Its configuration.
    pub config: &'a DevcontainerConfig,
    /// What the image is built for.
    pub platform: &'a Platform,
    /// Version of the devcontainer CLI.
    pub cli_version: &'a str,
}

/// Answers what a clone cannot: what references of images and features name at this moment. Failures are sentences.
#[async_trait]
pub trait ResolveImage: Send + Sync {
    /// The digest that a reference of an image or a feature names: of the index, where there is one.
    async fn image_digest(&self, reference: &str) -> Result<Digest, String>;

    /// What the configuration of a base image adds to builds from it (`config.Env` and `config.OnBuild`). `None` when that
    /// is not known; the whole build context then counts.
    async fn image_facts(&self, _reference: &str) -> Result<Option<ImageFacts>, String> {
        Ok(None)
    }

    /// Ids of the features that a feature depends on: [`crate::devcontainer::dependencies_of`] the annotation `dev.containers.metadata` of
    /// its manifest. `None` when that is not known.
    async fn feature_dependencies(&self, _reference: &str) -> Result<Option<Vec<String>>, String> {
        Ok(None)
    }
}

/// A key manifest, and what people should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReading {
    /// The manifest with its key.
    pub manifest: KeyedManifest,
    /// Why more than necessary was counted, in sentences.
    pub careful: Vec<String>,
    /// Inputs that the key cannot see, such as a URL without a checksum. BuildKit checks whether they have changed, and an
    /// exact hit would not: such an image is to be built, with BuildKit's cache, and never fetched by its key.
    pub unpinned: Vec<String>,
    /// Whether builds on top of the image carry out instructions that it defers (ONBUILD), which no key of theirs sees.
    pub defers: bool,
}

/// A [`KeyReading`] that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub limits: Limits,
    pub manifest: KeyManifest,
    /// Files of the context and of features, by name.
    pub files: BTreeMap<String, String>,
    pub careful: Vec<String>,
    pub unpinned: Vec<String>,
    pub defers: bool,
}
