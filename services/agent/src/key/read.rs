use hearth_domain::{Input, KeyManifest};
use serde_json::{Map, Value};

use super::{
    dockerfile,
    error::KeyError,
    features, inputs,
    remote::image_digest,
    source::{KeyReading, KeySource, ResolveImage},
};
use crate::devcontainer_config::ImageSource;

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
            let digest = image_digest(reference, resolver).await?;
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
