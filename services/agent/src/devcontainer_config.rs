//! The devcontainer configuration of a clone: found by name, read as JSONC.

use std::{
    collections::BTreeMap,
    fmt::Display,
    path::{Path, PathBuf},
};

use hearth_domain::{ConfigName, substitute_local_env};
use serde_json::{Map, Value};

use crate::clone_files::CloneFiles;

/// Largest configuration that is read, in bytes. Real ones have a few KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// Properties that make the image. All others belong to the container, and come from the clone at every start.
pub const IMAGE_PROPERTIES: [&str; 6] = [
    "image",
    "dockerFile",
    "context",
    "build",
    "features",
    "overrideFeatureInstallOrder",
];

/// A devcontainer configuration as the repository has it, except for `${localEnv:…}`. Such a variable is replaced by its
/// default, or by nothing: a node's environment is not that of a developer's machine, and all nodes must build the same.
#[derive(Clone, Debug)]
pub struct DevcontainerConfig {
    /// Where it is, relative to the clone, for example `.devcontainer/devcontainer.json`.
    pub path: PathBuf,
    /// Its properties.
    pub properties: Map<String, Value>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The repository has no configuration of that name.
    #[error("the repository has no {}", .0.display())]
    NotFound(PathBuf),
    /// It cannot be read, or is not a configuration.
    #[error("{}: {why}", path.display())]
    Invalid {
        /// Where it is, relative to the clone.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// How an image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// From a Dockerfile.
    Dockerfile,
    /// From an image, perhaps with features on top.
    Image,
    /// By Docker Compose.
    Compose,
}

impl DevcontainerConfig {
    /// Finds and reads the configuration `name` of `clone`. With no name it is the default one, and `None` is returned
    /// where the repository has none. Waits for the disk.
    pub fn find(clone: &Path, name: Option<&ConfigName>) -> Result<Option<Self>, ConfigError> {
        let candidates = match name {
            Some(name) => vec![format!(".devcontainer/{name}/devcontainer.json")],
            None => vec![
                ".devcontainer/devcontainer.json".to_owned(),
                ".devcontainer.json".to_owned(),
            ],
        };
        let files = CloneFiles::open(clone).map_err(|error| invalid(Path::new("."), error))?;
        for candidate in &candidates {
            let path = Path::new(candidate);
            if files.has_file(path) {
                return Self::read(&files, path).map(Some);
            }
        }
        match name {
            Some(_) => Err(ConfigError::NotFound(candidates.concat().into())),
            None => Ok(None),
        }
    }

    fn read(files: &CloneFiles, path: &Path) -> Result<Self, ConfigError> {
        let text = files
            .read(path, MAX_BYTES)
            .map_err(|error| invalid(path, error))?;
        let text = String::from_utf8(text).map_err(|error| invalid(path, error))?;
        let value: Value =
            jsonc_parser::parse_to_serde_value(&text, &jsonc_parser::ParseOptions::default())
                .map_err(|error| invalid(path, error))?;
        Self::new(path.to_owned(), &value).ok_or_else(|| invalid(path, "is not a JSON object"))
    }

    /// A configuration with these properties; `None` when they are not a JSON object.
    pub fn new(path: PathBuf, properties: &Value) -> Option<Self> {
        match substitute_local_env(properties, &BTreeMap::new()) {
            Value::Object(properties) => Some(Self { path, properties }),
            _ => None,
        }
    }

    /// How the image is made; `None` when the configuration does not say.
    pub fn image_source(&self) -> Option<ImageSource> {
        let has = |name: &str| self.properties.contains_key(name);
        let has_build = self
            .properties
            .get("build")
            .and_then(|build| build.get("dockerfile"))
            .is_some();
        if has("dockerComposeFile") {
            Some(ImageSource::Compose)
        } else if has("dockerFile") || has_build {
            Some(ImageSource::Dockerfile)
        } else if has("image") {
            Some(ImageSource::Image)
        } else {
            None
        }
    }

    /// The value of a property, if it is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str()
    }
}

fn invalid(path: &Path, why: impl Display) -> ConfigError {
    ConfigError::Invalid {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clone_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn comments_and_trailing_commas_are_read() {
        let clone = clone_with(&[(
            ".devcontainer/devcontainer.json",
            "{ // why\n \"build\": {\"dockerfile\": \"Dockerfile\",}, /* x */ \"remoteUser\": \"dev\",\n}",
        )]);
        let config = DevcontainerConfig::find(clone.path(), None)
            .unwrap()
            .unwrap();
        assert_eq!(config.image_source(), Some(ImageSource::Dockerfile));
        assert_eq!(config.text("remoteUser"), Some("dev"));
    }

    #[test]
    fn variables_of_the_local_environment_are_their_defaults() {
        let clone = clone_with(&[(
            ".devcontainer.json",
            r#"{"image": "x", "containerEnv": {"A": "${localEnv:PATH}", "B": "${localEnv:HOME:none}"}}"#,
        )]);
        let config = DevcontainerConfig::find(clone.path(), None)
            .unwrap()
            .unwrap();
        let expected = serde_json::json!({"A": "", "B": "none"});
        assert_eq!(config.properties["containerEnv"], expected);
    }

    #[test]
    fn a_named_config_is_a_folder_and_must_exist() {
        let clone = clone_with(&[(".devcontainer/gpu/devcontainer.json", "{\"image\": \"x\"}")]);
        let name = "gpu".parse().unwrap();
        let config = DevcontainerConfig::find(clone.path(), Some(&name))
            .unwrap()
            .unwrap();
        assert_eq!(config.image_source(), Some(ImageSource::Image));
        assert!(
            DevcontainerConfig::find(clone.path(), None)
                .unwrap()
                .is_none()
        );
        let missing = "cpu".parse().unwrap();
        let error = DevcontainerConfig::find(clone.path(), Some(&missing)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(".devcontainer/cpu/devcontainer.json")
        );
    }

    #[test]
    fn a_file_that_is_not_a_configuration_is_refused_by_its_path() {
        for text in ["", "[]", "{\"image\": }"] {
            let clone = clone_with(&[(".devcontainer.json", text)]);
            let error = DevcontainerConfig::find(clone.path(), None).unwrap_err();
            assert!(
                error.to_string().starts_with(".devcontainer.json: "),
                "{error}"
            );
        }
    }

    #[test]
    fn a_link_out_of_the_repository_is_not_followed() {
        let clone = clone_with(&[]);
        std::os::unix::fs::symlink("/etc/passwd", clone.path().join(".devcontainer.json")).unwrap();
        let error = DevcontainerConfig::find(clone.path(), None).unwrap_err();
        assert!(error.to_string().contains("leads out"), "{error}");
    }
}
