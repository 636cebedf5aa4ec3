//! The cache key, read from a clone.
//!
//! The key is the digest of a [`KeyManifest`]: every input of the image with its own digest or value.
//!
//! | Kind | Name | Value |
//! |---|---|---|
//! | `platform` | `platform` | `os/architecture` |
//! | `tool` | `devcontainer` | major and minor version of the CLI, where the CLI adds to the image |
//! | `tool` | `frontend` | a Dockerfile frontend of Docker's own whose digest could not be found out |
//! | `config` | the property | its canonical JSON; `build.…` as plain text |
//! | `dockerfile` | its path | digest of the instructions that are carried out, as a JSON list |
//! | `build-arg` | its name | its value; only arguments that the Dockerfile declares |
//! | `base-image` | the reference | the digest that it stands for now |
//! | `file` | its path in the clone | `file <mode> <sha256>`, `folder <mode>`, `link <target>`, `commit <hash>` for .git, `<n> entries <sha256>` for many |
//! | `feature` | its id or reference | digest of its content, of its manifest, or what the lockfile pins |
//! | `remote` | the URL | what pins it, or what the server says of its version, or `unpinned` |
//!
//! Equal manifests mean equal images as far as BuildKit itself could tell: it would find every step in its cache. The
//! reverse does not hold. Where a build cannot be understood, more is counted, and [`KeyReading::careful`] says why.

mod context;
mod dockerfile;
mod error;
mod features;
mod git;
mod ignores;
mod inputs;
mod place;
mod tree;

#[cfg(test)]
mod tests;

use std::path::Path;

use async_trait::async_trait;
use hearth_domain::{Digest, ImageFacts, Input, KeyManifest};
use serde_json::{Map, Value};

pub use error::KeyError;
pub use features::dependencies_of;

use crate::config::{DevcontainerConfig, ImageSource};

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

    /// Ids of the features that a feature depends on: [`dependencies_of`] the annotation `dev.containers.metadata` of
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

/// Reads the key of a clone's configuration.
pub async fn read_key(
    source: &KeySource<'_>,
    resolver: &dyn ResolveImage,
) -> Result<KeyReading, KeyError> {
    let mut reading = KeyReading::default();
    reading
        .manifest
        .insert(Input::Platform, "platform", source.platform);
    let properties = &source.config.properties;
    let mut cli_adds = false;
    match source.config.image_source() {
        None => return Err(KeyError::NoImage),
        Some(ImageSource::Compose) => return Err(KeyError::UnsupportedCompose),
        Some(ImageSource::Image) => {
            let reference = properties
                .get("image")
                .and_then(Value::as_str)
                .ok_or(KeyError::NoImage)?;
            let digest = image(reference, resolver).await?;
            reading.manifest.insert(Input::BaseImage, reference, digest);
            cli_adds = true;
        }
        Some(ImageSource::Dockerfile) => {
            let build = inputs::build(source, properties)?.ok_or(KeyError::NoImage)?;
            dockerfile::read(source, &build, resolver, &mut reading).await?;
        }
    }
    let features = properties
        .get("features")
        .and_then(Value::as_object)
        .filter(|features| !features.is_empty());
    if let Some(features) = features {
        shaped_by_features(properties, features, &mut reading.manifest);
        features::read(source, features, resolver, &mut reading).await?;
        cli_adds = true;
    }
    if cli_adds {
        let mut parts = source.cli_version.splitn(3, '.');
        let version: Vec<&str> = parts.by_ref().take(2).collect();
        reading
            .manifest
            .insert(Input::Tool, "devcontainer", version.join("."));
    }
    Ok(reading)
}

/// Properties that matter only where there are features: install scripts see the users, and containerEnv is set before
/// they run.
fn shaped_by_features(
    properties: &Map<String, Value>,
    features: &Map<String, Value>,
    manifest: &mut KeyManifest,
) {
    for name in [
        "overrideFeatureInstallOrder",
        "remoteUser",
        "containerUser",
        "containerEnv",
    ] {
        if let Some(value) = inputs::property(properties, name) {
            manifest.insert(Input::Config, name, value);
        }
    }
    for (id, options) in features {
        manifest.insert(
            Input::Config,
            format!("features.{id}"),
            hearth_domain::canonical_json(options),
        );
    }
}

/// The digest of an image; one that its reference names needs no registry.
async fn image(reference: &str, resolver: &dyn ResolveImage) -> Result<String, KeyError> {
    if let Some((_, digest)) = reference.split_once('@') {
        return Ok(digest.to_owned());
    }
    let digest = resolver.image_digest(reference).await;
    digest
        .map(|digest| digest.as_str().to_owned())
        .map_err(|why| KeyError::Unresolved {
            reference: reference.to_owned(),
            why,
        })
}

/// Enters something that is downloaded.
async fn remote(
    url: &str,
    pin: Option<&str>,
    resolver: &dyn ResolveImage,
    reading: &mut KeyReading,
) {
    let version = match pin {
        Some(pin) => Some(pin.to_owned()),
        None => resolver.remote_version(url).await,
    };
    if version.is_none() {
        reading.unpinned.push(url.to_owned());
    }
    reading
        .manifest
        .insert(Input::Remote, url, version.as_deref().unwrap_or("unpinned"));
}

/// Runs what waits for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyError> + Send + 'static,
) -> Result<T, KeyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(tree::unreadable(Path::new("."), error)),
    }
}
