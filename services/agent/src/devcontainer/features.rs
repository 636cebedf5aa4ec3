use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{
    clone_path::{ClonePath, in_clone},
    error::FileError,
    jsonc,
    properties::Properties,
};
use crate::clone_files::CloneFiles;

/// Largest metadata of a feature that is read, in bytes. Real ones have a few KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// Most features of a configuration, with those that they depend on. No real one comes near it.
pub(crate) const MAX_FEATURES: usize = 100;

/// A feature describes itself in this file.
const METADATA: &str = "devcontainer-feature.json";

/// Features that are installed on top of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Options of each, by its id.
    pub options: Map<String, Value>,
    /// In which order they are installed, if the configuration says so.
    pub install_order: Option<Value>,
    /// The users, which install scripts see.
    pub remote_user: Option<String>,
    /// The users, which install scripts see.
    pub container_user: Option<String>,
}

impl Features {
    /// Takes the features out of a configuration; the users stay in it too. `None` if there are none.
    pub(super) fn take(properties: &mut Properties<'_>) -> Option<Self> {
        let options = properties.take_object("features").rest();
        let install_order = properties.take("overrideFeatureInstallOrder");
        (!options.is_empty()).then(|| Self {
            options,
            install_order,
            remote_user: properties.text("remoteUser"),
            container_user: properties.text("containerUser"),
        })
    }

    /// Adds the properties of a configuration that installs them.
    pub(super) fn write(&self, properties: &mut Map<String, Value>) {
        let Self {
            options,
            install_order,
            remote_user,
            container_user,
        } = self;
        let all = [
            ("features", Some(json!(options))),
            ("overrideFeatureInstallOrder", install_order.clone()),
            ("remoteUser", remote_user.as_ref().map(|user| json!(user))),
            (
                "containerUser",
                container_user.as_ref().map(|user| json!(user)),
            ),
        ];
        for (name, value) in all {
            if let Some(value) = value {
                properties.insert(name.to_owned(), value);
            }
        }
    }
}

/// A feature in the clone.
pub(crate) struct LocalFeature {
    /// Its folder.
    pub folder: ClonePath,
    /// Ids of the features that it depends on.
    pub depends_on: Vec<String>,
    /// The values that its options have without being given.
    defaults: Map<String, Value>,
}

impl LocalFeature {
    /// Reads the feature in `folder`, as a configuration in `config_folder` names it.
    pub fn read(files: &CloneFiles, config_folder: &Path, folder: &str) -> Result<Self, FileError> {
        let named = in_clone(Path::new("/"), config_folder, folder)
            .map_err(|error| FileError::new(folder, error))?;
        let folder = ClonePath::new(files, &named)?;
        let name = folder.named.join(METADATA);
        let metadata = files
            .text(&folder.real.join(METADATA), MAX_BYTES)
            .map_err(|error| FileError::new(&name, error))?;
        let depends_on = dependencies_of(&metadata)
            .ok_or_else(|| FileError::malformed(&name, "is not a JSON object"))?;
        Ok(Self {
            folder,
            depends_on,
            defaults: defaults_of(&metadata),
        })
    }

    /// Options as they make a difference: those that are given and are not the default.
    pub fn effective(&self, mut given: Value) -> Value {
        if let Some(options) = given.as_object_mut() {
            options.retain(|name, value| self.defaults.get(name) != Some(value));
        }
        given
    }
}

fn defaults_of(metadata: &str) -> Map<String, Value> {
    let metadata = jsonc::parse(metadata).value.unwrap_or_default();
    let options = metadata.get("options").and_then(Value::as_object);
    let defaults = options
        .into_iter()
        .flatten()
        .filter_map(|(name, option)| Some((name.clone(), option.get("default")?.clone())));
    defaults.collect()
}

/// Ids of the features that a feature depends on, from its metadata (`devcontainer-feature.json`, or the annotation
/// `dev.containers.metadata` of its manifest). `None` when that is not a JSON object.
pub fn dependencies_of(metadata: &str) -> Option<Vec<String>> {
    let metadata = jsonc::parse(metadata).value?;
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

/// Where the lockfile of the configuration at `config` is (<https://containers.dev/implementors/spec/#lockfiles>).
pub(crate) fn lockfile_path(config: &Path) -> PathBuf {
    let hidden = config
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    config.with_file_name(if hidden {
        ".devcontainer-lock.json"
    } else {
        "devcontainer-lock.json"
    })
}

/// The text of the lockfile beside the configuration, if there is one.
pub(crate) fn lockfile(files: &CloneFiles, config: &Path) -> Result<Option<String>, FileError> {
    let path = lockfile_path(config);
    match files.text(&path, MAX_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(FileError::new(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn metadata_is_read_with_a_mark_in_front_and_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared/f");
        fs::create_dir_all(&shared).unwrap();
        fs::create_dir(dir.path().join(".devcontainer")).unwrap();
        let metadata = "\u{feff}{// x\r\n\"dependsOn\": {\"./g\": {}},}";
        fs::write(shared.join(METADATA), metadata).unwrap();
        symlink("../shared/f", dir.path().join(".devcontainer/f")).unwrap();
        let files = CloneFiles::open(dir.path()).unwrap();
        let feature = LocalFeature::read(&files, Path::new(".devcontainer"), "./f").unwrap();
        assert_eq!(feature.depends_on, ["./g"]);
        assert_eq!(feature.folder.name(), ".devcontainer/f");
        assert_eq!(feature.folder.real, Path::new("shared/f"));
    }

    #[test]
    fn the_lockfile_is_hidden_beside_a_hidden_configuration() {
        for (config, lockfile) in [
            (".devcontainer.json", ".devcontainer-lock.json"),
            (
                ".devcontainer/a/devcontainer.json",
                ".devcontainer/a/devcontainer-lock.json",
            ),
        ] {
            assert_eq!(lockfile_path(Path::new(config)), Path::new(lockfile));
        }
    }
}
