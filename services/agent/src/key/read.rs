use std::{collections::BTreeMap, path::Path};

use hearth_domain::{Input, canonical_json};
use hearth_runtime::blocking;

use super::{
    dockerfile,
    error::KeyError,
    features,
    remote::image_digest,
    source::{KeyReading, KeySource, Reading, ResolveImage},
    tree,
};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{Base, Features, Recipe},
};

/// At most this many files are named one by one. The manifest is part of every cache entry and must stay a small message.
const MAX_NAMED_FILES: usize = 1000;
/// The same of their names and values together, in bytes.
const MAX_NAMED_BYTES: usize = 512 * 1024;

/// Reads the key of a clone's configuration.
pub async fn read_key(
    source: &KeySource<'_>,
    resolver: &dyn ResolveImage,
) -> Result<KeyReading, KeyError> {
    let clone = source.clone.to_owned();
    let files = blocking(move || CloneFiles::open(&clone))
        .await
        .map_err(|error| KeyError::file(Path::new("."), error))?;
    read_key_of(&files, source, resolver).await
}

/// Reads the key from `files`, which are those of the clone.
pub(crate) async fn read_key_of(
    files: &CloneFiles,
    source: &KeySource<'_>,
    resolver: &dyn ResolveImage,
) -> Result<KeyReading, KeyError> {
    let mut reading = Reading::default();
    // Whoever does not wait for the key any more does not want its work either.
    let _stop = reading.limits.stop.clone().drop_guard();
    reading
        .manifest
        .insert(Input::Platform, "platform", source.platform.as_str());
    let Recipe {
        base,
        features,
        plain,
    } = source.config.recipe().ok_or(KeyError::SeveralImages)?;
    match base {
        Base::Default(_) => return Err(KeyError::NoImage),
        Base::Image(reference) => {
            let digest = image_digest(reference, resolver).await?;
            reading.manifest.insert(Input::BaseImage, reference, digest);
        }
        Base::Dockerfile(build) => {
            dockerfile::read(source, files, build, resolver, &mut reading).await?;
        }
    }
    if let Some(features) = features {
        enter(features, &mut reading);
        features::read(source, files, features, resolver, &mut reading).await?;
    }
    if !plain {
        // It adds a stage to each Dockerfile.
        let version: Vec<&str> = source.cli_version.split('.').take(2).collect();
        reading
            .manifest
            .insert(Input::Tool, "devcontainer", version.join("."));
    }
    complete(reading, source)
}

/// Enters what a configuration says about features.
fn enter(features: &Features, reading: &mut Reading) {
    let Features {
        options,
        install_order,
        remote_user,
        container_user,
    } = features;
    let mut insert = |name: String, value: &serde_json::Value| {
        reading
            .manifest
            .insert(Input::Config, name, canonical_json(value));
    };
    for (id, options) in options {
        insert(format!("features.{id}"), options);
    }
    if let Some(order) = install_order {
        insert("overrideFeatureInstallOrder".to_owned(), order);
    }
    for (name, user) in [
        ("remoteUser", remote_user),
        ("containerUser", container_user),
    ] {
        if let Some(user) = user {
            insert(name.to_owned(), &user.as_str().into());
        }
    }
}

fn complete(reading: Reading, source: &KeySource<'_>) -> Result<KeyReading, KeyError> {
    let Reading {
        limits: _,
        mut manifest,
        files,
        careful,
        unpinned,
        defers,
    } = reading;
    for (name, value) in folded(files) {
        manifest.insert(Input::File, name, value);
    }
    // Such an image would be found by no other workspace, or be another one than the workspace's own.
    let clone = source.clone.to_string_lossy();
    for (kind, title) in [
        (Input::Config, "the property"),
        (Input::BuildArg, "the build argument"),
    ] {
        let mut inputs = manifest.inputs(kind);
        if let Some((name, _)) = inputs.find(|(_, value)| value.contains(&*clone)) {
            return Err(KeyError::place(format!("{title} {name}")));
        }
    }
    Ok(KeyReading {
        manifest: manifest.into(),
        careful,
        unpinned,
        defers,
    })
}

/// The files by name; when there are too many, top-level folders stand for what is in them, and a single entry when
/// even those are too many.
fn folded(values: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let bytes: usize = values
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if values.len() <= MAX_NAMED_FILES && bytes <= MAX_NAMED_BYTES {
        return values;
    }
    let mut groups: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, value) in &values {
        let group = name.split_once('/').map_or(name.as_str(), |(top, _)| top);
        groups
            .entry(group.to_owned())
            .or_default()
            .insert(name.clone(), value.clone());
    }
    if groups.len() > MAX_NAMED_FILES {
        return BTreeMap::from([(
            ".".to_owned(),
            format!("{} entries {}", values.len(), tree::digest(&values)),
        )]);
    }
    groups
        .into_iter()
        .map(|(group, values)| {
            (
                group,
                format!("{} entries {}", values.len(), tree::digest(&values)),
            )
        })
        .collect()
}
