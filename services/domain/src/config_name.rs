use std::{fmt, path::PathBuf, str::FromStr};

/// The folder of configurations, in the repository's own folder or in one of its folders.
const CONFIGURATIONS: &str = ".devcontainer";
const FILE: &str = "devcontainer.json";
const MAX_BYTES: usize = 255;

/// A devcontainer configuration other than the default one of the repository's own folder.
///
/// It is asked for by the name of its folder (`gpu`: `.devcontainer/gpu/devcontainer.json`), by a folder of the repository
/// whose default configuration is meant (`services/api`, or `./api`), or by its path
/// (`services/api/.devcontainer/gpu/devcontainer.json`). Each configuration has one text, whichever way it was written.
///
/// It becomes a path in the clone, so what could lead out of that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigName {
    text: String,
    /// The folder that is worked in, relative to the repository; empty for its own.
    folder: String,
    name: Option<String>,
}

/// Why a text is not the name of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigNameError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// A file name has at most 255 bytes on Linux.
    #[error("is {0} bytes long; at most 255 are allowed")]
    TooLong(usize),
    /// It would lead out of the repository, or hide in it.
    #[error(
        "must be the name of one folder, as in .devcontainer/NAME/devcontainer.json, or a folder of the repository: no `\\` or `..`, and no dot or dash at the start of a name"
    )]
    NotAFolder,
    /// It is the path of the default configuration.
    #[error("is the default configuration, which is used when none is asked for")]
    Default,
    /// It has a control character.
    #[error("must not contain control characters")]
    Control,
}

impl ConfigName {
    /// The text that stands for it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folder that is worked in, relative to the repository; empty for its own.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The files that it can be in, relative to the repository; the first that is there counts.
    pub fn candidates(&self) -> Vec<PathBuf> {
        candidates(&self.folder, self.name.as_deref())
    }

    /// The configuration that is in a file, whose path is relative to the repository; `None` in it: the default one. `None`:
    /// a file of this path is no configuration.
    pub fn of_file(path: &str) -> Option<Option<Self>> {
        if path.starts_with('/') {
            return None;
        }
        let (folder, name) = match path.rsplit_once('/') {
            None if path == ".devcontainer.json" => ("", None),
            Some((folder, ".devcontainer.json")) => (folder, None),
            Some((folder, FILE)) => {
                let parts = folder.rsplit_once('/');
                match parts {
                    None if folder == CONFIGURATIONS => ("", None),
                    Some((folder, CONFIGURATIONS)) => (folder, None),
                    Some((CONFIGURATIONS, name)) => ("", Some(name)),
                    Some((folder, name)) => match folder.strip_suffix("/.devcontainer") {
                        Some(folder) => (folder, Some(name)),
                        None => return None,
                    },
                    None => return None,
                }
            }
            _ => return None,
        };
        match (folder, name) {
            ("", None) => Some(None),
            _ => Self::new(folder, name).ok().map(Some),
        }
    }

    fn new(folder: &str, name: Option<&str>) -> Result<Self, ConfigNameError> {
        let mut text = match (folder, name) {
            ("", None) => return Err(ConfigNameError::Default),
            ("", Some(name)) => name.to_owned(),
            // A name by itself is that of a configuration.
            (folder, None) if !folder.contains('/') => format!("./{folder}"),
            (folder, None) => folder.to_owned(),
            (folder, Some(name)) => format!("{folder}/{CONFIGURATIONS}/{name}"),
        };
        // A folder of this name is not to be read as the file in it.
        if text.ends_with("/devcontainer.json") {
            text = format!("{text}/{FILE}");
        }
        if text.len() > MAX_BYTES {
            return Err(ConfigNameError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(ConfigNameError::Control);
        }
        let parts = folder.split('/').filter(|_| !folder.is_empty());
        if !parts.chain(name).all(is_folder) {
            return Err(ConfigNameError::NotAFolder);
        }
        Ok(Self {
            text,
            folder: folder.to_owned(),
            name: name.map(str::to_owned),
        })
    }
}

/// The files that a configuration can be in; without a name, the default one of the folder.
fn candidates(folder: &str, name: Option<&str>) -> Vec<PathBuf> {
    let folder = PathBuf::from(folder);
    let configurations = folder.join(CONFIGURATIONS);
    match name {
        Some(name) => vec![configurations.join(name).join(FILE)],
        None => vec![configurations.join(FILE), folder.join(".devcontainer.json")],
    }
}

/// The files that a configuration can be in, relative to the repository; `None`: the default one.
pub fn config_candidates(config: Option<&ConfigName>) -> Vec<PathBuf> {
    config.map_or_else(|| candidates("", None), ConfigName::candidates)
}

/// Whether it is the name of one folder that does not hide, and leads nowhere else.
fn is_folder(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['/', '\\'])
        && !name.contains("..")
        && !name.starts_with(['.', '-'])
}

impl FromStr for ConfigName {
    type Err = ConfigNameError;

    fn from_str(text: &str) -> Result<Self, ConfigNameError> {
        if text.is_empty() {
            return Err(ConfigNameError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(ConfigNameError::TooLong(text.len()));
        }
        let is_path = text.contains('/');
        let path = text.strip_prefix("./").unwrap_or(text);
        if path.starts_with('/') {
            return Err(ConfigNameError::NotAFolder);
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = match path
            .strip_suffix(FILE)
            .and_then(|path| path.strip_suffix('/'))
        {
            Some(folder) if is_path => folder,
            _ => path,
        };
        if !is_path {
            return Self::new("", Some(path));
        }
        let inside = format!("/{path}/");
        match inside.split_once("/.devcontainer/") {
            None => Self::new(path, None),
            Some((folder, name)) => {
                let folder = folder.strip_prefix('/').unwrap_or(folder);
                let name = name.strip_suffix('/').unwrap_or(name);
                Self::new(folder, Some(name).filter(|name| !name.is_empty()))
            }
        }
    }
}

impl fmt::Display for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leaves_its_folder_is_refused() {
        for bad in [
            "..",
            "../x",
            "a/../b",
            "a..b",
            ".hidden",
            "a\\b",
            "-x",
            "/etc",
            "a//b",
            "/",
            ".//",
            "//",
            "a/-b",
            "a/.hidden",
            "a/.devcontainer/b/c",
            "a/.devcontainer/.b",
            ".devcontainer/../devcontainer.json",
            "/.devcontainer/x",
        ] {
            assert_eq!(
                bad.parse::<ConfigName>(),
                Err(ConfigNameError::NotAFolder),
                "{bad}"
            );
        }
        assert_eq!("".parse::<ConfigName>(), Err(ConfigNameError::Empty));
        assert_eq!("a\nb".parse::<ConfigName>(), Err(ConfigNameError::Control));
        assert_eq!(
            "x".repeat(256).parse::<ConfigName>(),
            Err(ConfigNameError::TooLong(256))
        );
        for default in ["./", ".devcontainer/", "./.devcontainer/devcontainer.json"] {
            let parsed = default.parse::<ConfigName>();
            assert_eq!(parsed, Err(ConfigNameError::Default), "{default}");
        }
    }

    #[test]
    fn ordinary_folder_names_are_taken() {
        for good in [
            "python",
            "My Config",
            "gpu_v1.2",
            "größe",
            "devcontainer.json",
        ] {
            let config: ConfigName = good.parse().unwrap();
            assert_eq!((config.as_str(), config.folder()), (good, ""));
            let path = format!(".devcontainer/{good}/devcontainer.json");
            assert_eq!(config.candidates(), [PathBuf::from(&path)]);
            assert_eq!(ConfigName::of_file(&path), Some(Some(config)));
        }
    }

    #[test]
    fn a_configuration_has_one_text_whichever_way_it_is_asked_for() {
        let api = "services/api";
        for (written, text, folder, file) in [
            (
                api,
                api,
                api,
                "services/api/.devcontainer/devcontainer.json",
            ),
            (
                "./services/api/",
                api,
                api,
                "services/api/.devcontainer.json",
            ),
            (
                "services/api/.devcontainer/devcontainer.json",
                api,
                api,
                "services/api/.devcontainer/devcontainer.json",
            ),
            ("api/", "./api", "api", "api/.devcontainer.json"),
            (
                "./api",
                "./api",
                "api",
                "api/.devcontainer/devcontainer.json",
            ),
            (
                ".devcontainer/gpu/devcontainer.json",
                "gpu",
                "",
                ".devcontainer/gpu/devcontainer.json",
            ),
            (
                "api/.devcontainer/gpu",
                "api/.devcontainer/gpu",
                "api",
                "api/.devcontainer/gpu/devcontainer.json",
            ),
            (
                "api/devcontainer.json/devcontainer.json",
                "api/devcontainer.json/devcontainer.json",
                "api/devcontainer.json",
                "api/devcontainer.json/.devcontainer.json",
            ),
            (
                "api/.devcontainer/devcontainer.json/devcontainer.json",
                "api/.devcontainer/devcontainer.json/devcontainer.json",
                "api",
                "api/.devcontainer/devcontainer.json/devcontainer.json",
            ),
        ] {
            let config: ConfigName = written.parse().expect(written);
            assert_eq!(
                (config.as_str(), config.folder()),
                (text, folder),
                "{written}"
            );
            assert!(config.candidates().contains(&file.into()), "{written}");
            assert_eq!(text.parse(), Ok(config.clone()), "{written}");
            assert_eq!(ConfigName::of_file(file), Some(Some(config)), "{file}");
        }
    }

    #[test]
    fn a_file_is_a_configuration_where_the_specification_looks() {
        for default in [".devcontainer.json", ".devcontainer/devcontainer.json"] {
            assert_eq!(ConfigName::of_file(default), Some(None));
        }
        for other in [
            "",
            "devcontainer.json",
            "a/devcontainer.json",
            "x.devcontainer.json",
            ".devcontainer/a/b/devcontainer.json",
            ".devcontainer/.a/devcontainer.json",
            ".git/.devcontainer/devcontainer.json",
            "a/x.devcontainer/devcontainer.json",
            "/.devcontainer.json",
            "../.devcontainer.json",
            ".devcontainer/devcontainer.json/",
        ] {
            assert_eq!(ConfigName::of_file(other), None, "{other}");
        }
    }
}
