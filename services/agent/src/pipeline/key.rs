use std::time::Duration;

use async_trait::async_trait;
use hearth_api::v1::PipelineStep;
use hearth_domain::{Digest, ImageFacts, Input, KeyedManifest, Login};
use serde::Deserialize;
use tokio::time::timeout;

use super::context::{Checkout, Context};
use crate::{
    credentials::Logins,
    devcontainer::{DevcontainerConfig, dependencies_of},
    external::registry::Registry,
    key::{KeySource, ResolveImage, read_key_of},
};

/// How long a key may take. Real ones take a second, and a minute where a context has many GB.
const TIME_LIMIT: Duration = Duration::from_secs(180);

const UNUSED: &str = "the cache is not used";

/// The inputs of the image, and remarks about them.
#[derive(Debug)]
pub struct Key {
    /// The inputs, or why there is no key.
    pub manifest: Result<KeyedManifest, String>,
    /// Sentences for the attempt's cache report.
    pub reasons: Vec<String>,
    /// Inputs that BuildKit checks and the key does not cover: an image with such inputs is built, not fetched.
    pub unpinned: Vec<String>,
    /// The image defers instructions to the builds on top of it.
    pub defers: bool,
}

/// Computes the key of the clone's image, and pins the base images that it names. Without a key the image is built.
pub async fn compute(cx: &Context<'_>, clone: &Checkout, config: &DevcontainerConfig) -> Key {
    if cx.job.cache.is_err() {
        return Key::none(UNUSED.to_owned(), Vec::new());
    }
    let step = PipelineStep::Key;
    let computed = cx.recorder.step(step, "computes the cache key", async {
        let key = Box::pin(read(cx, clone, config)).await;
        // A step without a key has failed.
        match key.manifest {
            Ok(_) => Ok(key),
            Err(_) => Err(key),
        }
    });
    let (Ok(key) | Err(key)) = computed.await;
    key
}

impl Key {
    /// There is none, and why.
    pub fn none(why: String, reasons: Vec<String>) -> Self {
        Self {
            manifest: Err(why),
            reasons,
            unpinned: Vec::new(),
            defers: false,
        }
    }
}

/// The same within a step.
pub async fn read(cx: &Context<'_>, clone: &Checkout, config: &DevcontainerConfig) -> Key {
    if cx.job.cache.is_err() {
        return Key::none(UNUSED.to_owned(), Vec::new());
    }
    let source = KeySource {
        clone: &clone.folder,
        config,
        platform: &cx.node.platform,
        cli_version: &cx.node.cli_version,
    };
    let resolver = RegistryResolver {
        registry: cx.externals.registry.as_ref(),
        logins: Some(cx.logins),
    };
    // What ends too late is worth less than a build.
    let reading = Box::pin(read_key_of(&clone.files, &source, &resolver));
    let reading = match timeout(TIME_LIMIT, reading).await {
        Ok(reading) => reading.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "it was not computed within {} s",
            TIME_LIMIT.as_secs()
        )),
    };
    if let Ok(reading) = &reading {
        let images = reading.manifest.inputs().inputs(Input::BaseImage);
        cx.images.pins().pin(images);
    }
    match reading {
        Ok(reading) => Key {
            manifest: Ok(reading.manifest),
            reasons: reading.careful,
            unpinned: reading.unpinned,
            defers: reading.defers,
        },
        Err(error) => {
            let why = format!("there is no cache key: {error}");
            Key::none(why.clone(), vec![why])
        }
    }
}

/// Asks registries what references name.
pub struct RegistryResolver<'a> {
    registry: &'a dyn Registry,
    logins: Option<&'a Logins>,
}

impl<'a> RegistryResolver<'a> {
    /// Asks as nobody.
    pub fn without_login(registry: &'a dyn Registry) -> Self {
        Self {
            registry,
            logins: None,
        }
    }

    async fn login(&self, image: &str) -> Option<Login> {
        self.logins?.for_image(image).await
    }
}

/// The part of a base image's configuration that builds inherit (OCI image spec, and Docker's `OnBuild`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageConfig {
    config: Inherited,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inherited {
    env: Option<Vec<String>>,
    on_build: Option<Vec<String>>,
}

#[async_trait]
impl ResolveImage for RegistryResolver<'_> {
    async fn image_digest(&self, reference: &str) -> Result<Digest, String> {
        self.registry
            .digest(reference, self.login(reference).await.as_ref())
            .await
            .map_err(|error| error.to_string())
    }

    async fn image_facts(&self, reference: &str) -> Result<Option<ImageFacts>, String> {
        let text = self
            .registry
            .config(reference, self.login(reference).await.as_ref())
            .await
            .map_err(|error| error.to_string())?;
        let config: ImageConfig = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let environment = config.config.env.unwrap_or_default();
        Ok(Some(ImageFacts {
            environment: environment
                .iter()
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            onbuild: config.config.on_build.unwrap_or_default(),
        }))
    }

    async fn feature_dependencies(&self, reference: &str) -> Result<Option<Vec<String>>, String> {
        let annotations = self
            .registry
            .annotations(reference, self.login(reference).await.as_ref())
            .await
            .map_err(|error| error.to_string())?;
        Ok(annotations
            .get("dev.containers.metadata")
            .and_then(|metadata| dependencies_of(metadata)))
    }
}
