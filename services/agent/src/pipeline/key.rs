use async_trait::async_trait;
use hearth_api::v1::{CacheEntry, PipelineStep};
use hearth_domain::{Digest, KeyManifest};
use hearth_layers::RegistryLogin;

use super::{Clone, Context};
use crate::{
    config::DevcontainerConfig,
    key::{KeySource, ResolveImage, read_key},
    parties::{Registry, Resolution},
};

/// The inputs of the image, as far as they can be known, and what there is to say about them.
#[derive(Debug, Default)]
pub struct Key {
    /// `None`: there is no key, and `reasons` says why.
    pub manifest: Option<KeyManifest>,
    /// Sentences for people.
    pub reasons: Vec<String>,
}

/// What the index knows for the key.
#[derive(Debug, Default)]
pub struct Lookup {
    /// An image that was built from the same inputs.
    pub hit: Option<CacheEntry>,
    /// Why there is none.
    pub reasons: Vec<String>,
}

/// Computes the key of the clone's image. Not fatal: without a key the image is built.
pub async fn compute(cx: &Context<'_>, clone: &Clone, config: &DevcontainerConfig) -> Key {
    if cx.job.cache.is_err() {
        return Key::default();
    }
    let source = KeySource {
        clone: &clone.folder,
        config,
        platform: &cx.node.platform,
        cli_version: &cx.node.cli_version,
    };
    let resolver = Resolver {
        registry: cx.parties.registry.as_ref(),
        login: cx.job.registry_login.as_ref(),
    };
    let reading = cx
        .recorder
        .step(
            PipelineStep::Key,
            "computes the cache key",
            read_key(&source, &resolver),
        )
        .await;
    match reading {
        Ok(reading) => Key {
            manifest: Some(reading.manifest),
            reasons: reading.careful,
        },
        Err(error) => Key {
            manifest: None,
            reasons: vec![format!("there is no cache key: {error}")],
        },
    }
}

/// Asks the index. Not fatal: without an answer the image is built.
pub async fn resolve(cx: &Context<'_>, key: &Key) -> Lookup {
    let (Ok(cache), Some(manifest)) = (&cx.job.cache, &key.manifest) else {
        return Lookup::default();
    };
    let repository = cache.reference.repository();
    let answer = cx
        .recorder
        .step(
            PipelineStep::Resolve,
            format!("asks for {}", manifest.key()),
            cx.parties
                .index
                .resolve(&cx.job.attempt, repository, manifest),
        )
        .await;
    match answer {
        // The index is trusted, and yet: an entry of another place or key is none.
        Ok(Resolution::Hit(entry))
            if entry.repository == repository
                && entry.key == manifest.key().as_str()
                && entry.digest.parse::<Digest>().is_ok() =>
        {
            Lookup {
                hit: Some(entry),
                reasons: Vec::new(),
            }
        }
        Ok(Resolution::Hit(_)) => Lookup {
            hit: None,
            reasons: vec!["the index answered with an entry of another key".to_owned()],
        },
        Ok(Resolution::Build(reasons)) => Lookup { hit: None, reasons },
        Err(error) => Lookup {
            hit: None,
            reasons: vec![format!("the cache could not be asked: {error}")],
        },
    }
}

struct Resolver<'a> {
    registry: &'a dyn Registry,
    login: Option<&'a RegistryLogin>,
}

#[async_trait]
impl ResolveImage for Resolver<'_> {
    async fn image_digest(&self, reference: &str) -> Result<Digest, String> {
        self.registry
            .digest(reference, self.login)
            .await
            .map_err(|error| error.to_string())
    }
}
