//! Features: local ones by their content, others by digest, each with those that it depends on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
};

use hearth_domain::{FeatureId, Input};
use hearth_runtime::blocking;
use serde_json::{Map, Value};

use super::{
    clone_path::ClonePath,
    error::KeyError,
    inputs::config_folder,
    remote::add_download,
    source::{KeySource, Reading, ResolveImage},
    tree::{self, Limits},
};
use crate::clone_files::CloneFiles;

/// Largest lockfile and largest metadata of a feature that is read, in bytes. Real ones have a few KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// A feature describes itself in this file.
const METADATA: &str = "devcontainer-feature.json";

/// Ids of the features that a feature depends on, from its metadata (`devcontainer-feature.json`, or the annotation
/// `dev.containers.metadata` of its manifest). `None` when that is not a JSON object.
pub fn dependencies_of(metadata: &str) -> Option<Vec<String>> {
    let value: Option<Value> =
        jsonc_parser::parse_to_serde_value(metadata, &jsonc_parser::ParseOptions::default())
            .ok()?;
    let metadata = value?;
    let depends_on = metadata
        .as_object()?
        .get("dependsOn")
        .and_then(Value::as_object);
    Some(
        depends_on
            .map(|ids| ids.keys().cloned().collect())
            .unwrap_or_default(),
    )
}

/// Enters the features of a configuration.
pub(super) async fn read(
    source: &KeySource<'_>,
    files: &CloneFiles,
    features: &Map<String, Value>,
    resolver: &dyn ResolveImage,
    reading: &mut Reading,
) -> Result<(), KeyError> {
    let lockfile = Lockfile::read(source, files).await?;
    let mut queue: VecDeque<String> = features.keys().cloned().collect();
    let mut done = BTreeSet::new();
    while let Some(id) = queue.pop_front() {
        if !done.insert(id.clone()) {
            continue;
        }
        let locked = lockfile.0.get(&id);
        match (FeatureId::new(&id), locked) {
            (FeatureId::Local(folder), _) => {
                let local = local(source, files, folder).await?;
                reading.manifest.insert(Input::Feature, id, local.digest);
                queue.extend(local.depends_on);
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
    digest: String,
    depends_on: Vec<String>,
}

async fn local(
    source: &KeySource<'_>,
    files: &CloneFiles,
    folder: String,
) -> Result<Local, KeyError> {
    let (files, config_folder) = (files.clone(), config_folder(source).to_owned());
    blocking(move || {
        let path = ClonePath::new(&files, &config_folder, &folder)?;
        let name = Path::new(&path.name).join(METADATA);
        let metadata = files
            .read(&path.real.join(METADATA), MAX_BYTES)
            .map_err(|error| KeyError::reading(&name, error))?;
        let depends_on = dependencies_of(&String::from_utf8_lossy(&metadata))
            .ok_or_else(|| KeyError::file(&name, "is not a JSON object"))?;
        let limits = Limits::default();
        let found = tree::walk(&files, &path.real, limits)?;
        let values = tree::values(&files, found, limits)?;
        Ok(Local {
            digest: format!("sha256:{}", tree::digest(&values)),
            depends_on,
        })
    })
    .await
}

/// What a lockfile pins, by feature id.
#[derive(Default)]
struct Lockfile(BTreeMap<String, Locked>);

struct Locked {
    integrity: String,
    depends_on: Vec<String>,
}

impl Lockfile {
    /// Reads the lockfile beside the configuration, if there is one
    /// (<https://containers.dev/implementors/spec/#lockfiles>).
    async fn read(source: &KeySource<'_>, files: &CloneFiles) -> Result<Self, KeyError> {
        let config = &source.config.path;
        let hidden = config
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let name = if hidden {
            ".devcontainer-lock.json"
        } else {
            "devcontainer-lock.json"
        };
        let (files, path) = (files.clone(), config_folder(source).join(name));
        blocking(move || match files.read(&path, MAX_BYTES) {
            Ok(text) => Self::parse(&text).map_err(|error| KeyError::file(&path, error)),
            Err(error) if error.is_not_found() => Ok(Self::default()),
            Err(error) => Err(KeyError::reading(&path, error)),
        })
        .await
    }

    fn parse(text: &[u8]) -> serde_json::Result<Self> {
        // An empty lockfile asks the CLI to write one.
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let lockfile: Value = serde_json::from_slice(text)?;
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
}
