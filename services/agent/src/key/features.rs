//! Features: local ones by their files, others by digest, each with those that it depends on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hearth_domain::{FeatureId, Input, canonical_json};
use hearth_runtime::blocking;
use serde_json::Value;

use super::{
    error::KeyError,
    remote::add_download,
    source::{KeySource, Reading, ResolveImage},
    tree::{self, Limits},
};
use crate::{
    clone_files::CloneFiles,
    devcontainer::{Features, FileError, LocalFeature, MAX_FEATURES, lockfile, lockfile_path},
};

/// Enters the features of a configuration.
pub(super) async fn read(
    source: &KeySource<'_>,
    files: &CloneFiles,
    features: &Features,
    resolver: &dyn ResolveImage,
    reading: &mut Reading,
) -> Result<(), KeyError> {
    let lockfile = Lockfile::read(source, files).await?;
    let mut queue: VecDeque<String> = features.options.keys().cloned().collect();
    let mut done = BTreeSet::new();
    while let Some(id) = queue.pop_front() {
        if !done.insert(id.clone()) {
            continue;
        }
        if done.len() > MAX_FEATURES {
            return Err(KeyError::TooManyFeatures);
        }
        let locked = lockfile.0.get(&id);
        match (FeatureId::new(&id), locked) {
            (FeatureId::Local(folder), _) => {
                let local = local(source, files, folder, reading.limits.clone()).await?;
                if let Some(given) = features.options.get(&id) {
                    let given = canonical_json(&local.feature.effective(given.clone()));
                    let name = format!("features.{id}");
                    reading.manifest.insert(Input::Config, name, given);
                }
                reading.files.extend(local.files);
                queue.extend(local.feature.depends_on);
            }
            (FeatureId::Tarball(_) | FeatureId::Oci(_), Some(locked)) => {
                reading
                    .manifest
                    .insert(Input::Feature, id, locked.integrity.clone());
                queue.extend(locked.depends_on.iter().cloned());
            }
            (FeatureId::Tarball(url), None) => add_download(&url, None, reading),
            (FeatureId::Oci(reference), None) => {
                let unresolved = |why| KeyError::Unresolved {
                    reference: format!("feature {reference}"),
                    why,
                };
                let digest = resolver
                    .image_digest(&reference)
                    .await
                    .map_err(unresolved)?;
                match resolver
                    .feature_dependencies(&reference)
                    .await
                    .map_err(unresolved)?
                {
                    Some(ids) => queue.extend(ids),
                    None => reading
                        .unpinned
                        .push(format!("features that {reference} depends on")),
                }
                reading
                    .manifest
                    .insert(Input::Feature, reference, digest.as_str());
            }
        }
    }
    Ok(())
}

/// A feature in the clone.
struct Local {
    files: BTreeMap<String, String>,
    feature: LocalFeature,
}

async fn local(
    source: &KeySource<'_>,
    files: &CloneFiles,
    folder: String,
    limits: Limits,
) -> Result<Local, KeyError> {
    let (files, config_folder) = (files.clone(), source.config.folder().to_owned());
    blocking(move || {
        let feature = LocalFeature::read(&files, &config_folder, &folder)?;
        let found = tree::walk(&files, &feature.folder, &limits)?;
        Ok(Local {
            files: tree::values(&files, found, &limits)?,
            feature,
        })
    })
    .await
}

/// What a lockfile pins, by feature id.
#[derive(Debug, Default)]
pub(crate) struct Lockfile(BTreeMap<String, Locked>);

#[derive(Debug)]
struct Locked {
    integrity: String,
    depends_on: Vec<String>,
}

impl Lockfile {
    async fn read(source: &KeySource<'_>, files: &CloneFiles) -> Result<Self, KeyError> {
        let (files, config) = (files.clone(), source.config.path.clone());
        blocking(move || {
            let text = lockfile(&files, &config)?.unwrap_or_default();
            Self::parse(&text)
                .map_err(|error| FileError::malformed(lockfile_path(&config), error).into())
        })
        .await
    }

    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        // An empty lockfile asks the CLI to write one.
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let lockfile: Value = serde_json::from_str(text)?;
        let features = lockfile.get("features").and_then(Value::as_object);
        let pinned = features.into_iter().flatten().filter_map(|(id, entry)| {
            // An entry without integrity pins nothing.
            let integrity = entry.get("integrity")?.as_str()?.to_owned();
            let depends_on = entry.get("dependsOn").and_then(Value::as_array);
            let depends_on = depends_on.into_iter().flatten();
            let locked = Locked {
                integrity,
                depends_on: depends_on
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            };
            Some((id.clone(), locked))
        });
        Ok(Self(pinned.collect()))
    }

    /// Ids and digests of the features that it pins.
    pub(crate) fn pinned(&self) -> impl Iterator<Item = (&str, &str)> {
        let pinned = self.0.iter();
        pinned.map(|(id, locked)| (id.as_str(), locked.integrity.as_str()))
    }
}
