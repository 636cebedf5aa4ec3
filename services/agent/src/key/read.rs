use std::path::Path;

use hearth_domain::{Input, KeyManifest};
use hearth_runtime::blocking;
use serde_json::{Map, Value};

use super::{
    dockerfile,
    error::KeyError,
    features, inputs,
    remote::image_digest,
    source::{KeyReading, KeySource, Reading, ResolveImage},
};
use crate::{clone_files::CloneFiles, devcontainer_config::ImageSource};

/// Reads the key of a clone's configuration.
pub async fn read_key(
    source: &KeySource<'_>,
    resolver: &dyn ResolveImage,
) -> Result<KeyReading, KeyError> {
    let clone = source.clone.to_owned();
    let files = blocking(move || CloneFiles::open(&clone))
        .await
        .map_err(|error| KeyError::file(Path::new("."), error))?;
    let mut reading = Reading::default();
    reading
        .manifest
        .insert(Input::Platform, "platform", source.platform.as_str());
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
            let build = inputs::build(properties)?.ok_or(KeyError::NoImage)?;
            dockerfile::read(source, &files, &build, resolver, &mut reading).await?;
        }
    }
    let features = properties
        .get("features")
        .and_then(Value::as_object)
        .filter(|features| !features.is_empty());
    if let Some(features) = features {
        shaped_by_features(properties, features, &mut reading.manifest);
        features::read(source, &files, features, resolver, &mut reading).await?;
        cli_adds = true;
    }
    if cli_adds {
        let version: Vec<&str> = source.cli_version.split('.').take(2).collect();
        reading
            .manifest
            .insert(Input::Tool, "devcontainer", version.join("."));
    }
    Ok(reading.into())
}

/// Enters properties that count only where there are features: their install scripts see the users, and containerEnv is
/// set before they run.
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
