//! Features: local ones by their content, others by digest, each with those that it depends on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
};

use hearth_domain::{FeatureId, Input};
use serde_json::{Map, Value};

use super::{
    clone_path::ClonePath,
    error::KeyError,
    inputs,
    remote::add_download,
    source::{KeyReading, KeySource, ResolveImage},
    tree::{self, Limits, blocking},
};

/// Ids that a feature depends on, out of its metadata (`devcontainer-feature.json`, or the annotation
/// `dev.containers.metadata` of its manifest).
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
    features: &Map<String, Value>,
    resolver: &dyn ResolveImage,
    reading: &mut KeyReading,
) -> Result<(), KeyError> {
    let lockfile = Lockfile::read(source)?;
    let mut queue: VecDeque<String> = features.keys().cloned().collect();
    let mut done = BTreeSet::new();
    while let Some(id) = queue.pop_front() {
        if !done.insert(id.clone()) {
            continue;
        }
        let locked = lockfile.0.get(&id);
        match (FeatureId::new(&id), locked) {
            (FeatureId::Local(path), _) => queue.extend(local(source, &id, &path, reading).await?),
            (FeatureId::Tarball(_) | FeatureId::Oci(_), Some(locked)) => {
                reading
                    .manifest
                    .insert(Input::Feature, id, locked.integrity.clone());
                queue.extend(locked.depends_on.iter().cloned());
            }
            (FeatureId::Tarball(url), None) => add_download(&url, None, resolver, reading).await,
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

async fn local(
    source: &KeySource<'_>,
    id: &str,
    folder: &str,
    reading: &mut KeyReading,
) -> Result<Vec<String>, KeyError> {
    let path = ClonePath::new(source.clone, inputs::config_folder(source), folder)?;
    let metadata_path = path.full.join("devcontainer-feature.json");
    let metadata = std::fs::read_to_string(&metadata_path).map_err(|error| {
        tree::unreadable(
            &Path::new(&path.name).join("devcontainer-feature.json"),
            error,
        )
    })?;
    let folder = path.full.clone();
    let values =
        blocking(move || tree::values(tree::walk(&folder, Limits::default())?, Limits::default()))
            .await?;
    reading.manifest.insert(
        Input::Feature,
        id,
        format!("sha256:{}", tree::digest(&values)),
    );
    dependencies_of(&metadata).ok_or_else(|| KeyError::File {
        path: Path::new(&path.name).join("devcontainer-feature.json"),
        why: "is no JSON object".to_owned(),
    })
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
    fn read(source: &KeySource<'_>) -> Result<Self, KeyError> {
        let config = &source.config.path;
        let hidden = config
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let name = if hidden {
            ".devcontainer-lock.json"
        } else {
            "devcontainer-lock.json"
        };
        let path = match ClonePath::new(source.clone, inputs::config_folder(source), name) {
            Ok(path) => path,
            Err(KeyError::File { .. }) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let text = std::fs::read_to_string(&path.full)
            .map_err(|error| tree::unreadable(Path::new(&path.name), error))?;
        // An empty lockfile asks the CLI to write one.
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let lockfile: Value = serde_json::from_str(&text)
            .map_err(|error| tree::unreadable(Path::new(&path.name), error))?;
        let features = lockfile
            .get("features")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let pinned = features.into_iter().filter_map(|(id, entry)| {
            // An entry without integrity pins nothing.
            let integrity = entry.get("integrity")?.as_str()?.to_owned();
            let depends_on = entry
                .get("dependsOn")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            let depends_on = depends_on
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            Some((
                id,
                Locked {
                    integrity,
                    depends_on,
                },
            ))
        });
        Ok(Self(pinned.collect()))
    }
}
