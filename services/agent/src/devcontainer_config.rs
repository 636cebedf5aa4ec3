//! The devcontainer configuration of a clone: found by name, read as JSONC.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hearth_domain::{ConfigName, substitute_local_env};
use serde_json::{Map, Value};

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

/// A devcontainer configuration, as it is written in the repository, but for `${localEnv:…}`: a node is nobody's local
/// machine, so such a variable is its default, or empty, on all of them.
#[derive(Clone, Debug)]
pub struct DevcontainerConfig {
    /// Where it is, relative to the clone, for example `.devcontainer/devcontainer.json`.
    pub path: PathBuf,
    /// Its properties.
    pub properties: Map<String, Value>,
}

/// Why there is no configuration to work with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No configuration of the name that was asked for.
    #[error("the repository has no {}", .0.display())]
    NotFound(PathBuf),
    /// It is there and cannot be used.
    #[error("{}: {why}", path.display())]
    Invalid {
        /// Where it is, relative to the clone.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// How an image comes to be.
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
    /// Finds and reads the configuration `name` of `clone`; `None` stands for the default one, of which there
    /// may be none.
    pub fn find(clone: &Path, name: Option<&ConfigName>) -> Result<Option<Self>, ConfigError> {
        let candidates = match name {
            Some(name) => vec![format!(".devcontainer/{name}/devcontainer.json")],
            None => vec![
                ".devcontainer/devcontainer.json".to_owned(),
                ".devcontainer.json".to_owned(),
            ],
        };
        for candidate in &candidates {
            let path = PathBuf::from(candidate);
            if clone.join(&path).is_file() {
                return Self::read(clone, path).map(Some);
            }
        }
        match name {
            Some(_) => Err(ConfigError::NotFound(candidates.concat().into())),
            None => Ok(None),
        }
    }

    fn read(clone: &Path, path: PathBuf) -> Result<Self, ConfigError> {
        let invalid = |why: String| ConfigError::Invalid {
            path: path.clone(),
            why,
        };
        let full = clone.join(&path);
        // A link could lead to any file of the node.
        let real = full.canonicalize().map_err(|e| invalid(e.to_string()))?;
        let root = clone.canonicalize().map_err(|e| invalid(e.to_string()))?;
        if !real.starts_with(&root) {
            return Err(invalid("leads out of the repository".to_owned()));
        }
        let size = real.metadata().map_err(|e| invalid(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(invalid(format!(
                "has {size} bytes; at most {MAX_BYTES} are read"
            )));
        }
        let text = std::fs::read_to_string(&real).map_err(|e| invalid(e.to_string()))?;
        let value: Value =
            jsonc_parser::parse_to_serde_value(&text, &jsonc_parser::ParseOptions::default())
                .map_err(|error| invalid(error.to_string()))?;
        Self::new(path.clone(), &value).ok_or_else(|| invalid("is no JSON object".to_owned()))
    }

    /// A configuration with these properties; `None` when they are no JSON object.
    pub fn new(path: PathBuf, properties: &Value) -> Option<Self> {
        match substitute_local_env(properties, &BTreeMap::new()) {
            Value::Object(properties) => Some(Self { path, properties }),
            _ => None,
        }
    }

    /// How its image comes to be; `None` when it says nothing about that.
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

    /// A property that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str()
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
    fn the_environment_of_a_node_is_nobodys_local_one() {
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
    fn what_is_no_config_is_refused_by_its_path() {
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
