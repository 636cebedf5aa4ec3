//! All configurations of a clone, as lists show them.

use std::path::{Path, PathBuf};

use hearth_domain::{
    ConfigName,
    text::{printable_line, shortened},
};

use super::{
    choice::all_in,
    error::ConfigError,
    find::{Found, find_in},
    read::{DevcontainerConfig, Place, Source},
    recipe::Base,
};
use crate::clone_files::CloneFiles;

/// Longest name and longest error that are told.
const MAX_NAME_CHARS: usize = 200;
const MAX_ERROR_CHARS: usize = 500;

/// A configuration in a list.
#[derive(Debug, PartialEq)]
pub struct Listed {
    /// What asks for it; `None`: it is the default one.
    pub config: Option<ConfigName>,
    /// Its file, relative to the clone.
    pub path: PathBuf,
    /// What it calls itself; empty if it does not say.
    pub name: String,
    /// What its image is made from, or why it cannot be read.
    pub kind: Result<Kind, String>,
    /// What is wrong with its text although it can be read.
    pub repaired: Option<String>,
}

/// What an image is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image.
    Image,
    /// A Dockerfile.
    Dockerfile,
    /// A Docker Compose project.
    Compose,
    /// The default image.
    None,
}

/// The configurations of a clone, and which of them is used when none is asked for; `None`: none is, and `None` in it: the
/// default one.
pub fn list(files: &CloneFiles) -> (Vec<Listed>, Option<Option<ConfigName>>) {
    // Nothing in a list depends on them.
    let place = Place {
        clone: Path::new("/repository"),
        default_image: "default",
    };
    let (default, used) = match find_in(files, place, None) {
        Ok(Found::Config(config)) => (Some(readable(None, &config)), Some(None)),
        Ok(Found::Only(_, only)) => (None, Some(Some(only))),
        Ok(Found::NoDefault(_)) => (None, None),
        Err(error) => match of_error(&error) {
            Some(only) => (None, Some(Some(only))),
            None => (Some(unreadable(None, &error)), Some(None)),
        },
    };
    let others = all_in(files)
        .into_iter()
        .map(|name| match find_in(files, place, Some(&name)) {
            Ok(found) => found.config().map(|config| readable(Some(name), &config)),
            Err(error) => Some(unreadable(Some(name), &error)),
        });
    (default.into_iter().chain(others.flatten()).collect(), used)
}

/// The configuration that was used for want of a default one, and cannot be read.
fn of_error(error: &ConfigError) -> Option<ConfigName> {
    let ConfigError::Invalid { path, .. } = error else {
        return None;
    };
    ConfigName::of_file(path.to_str()?).flatten()
}

fn readable(config: Option<ConfigName>, read: &DevcontainerConfig) -> Listed {
    Listed {
        config,
        path: read.path.clone(),
        name: shown(
            read.container.text("name").unwrap_or_default(),
            MAX_NAME_CHARS,
        ),
        kind: Ok(kind(&read.source)),
        repaired: read
            .repaired
            .as_deref()
            .map(|fault| shown(fault, MAX_ERROR_CHARS)),
    }
}

fn unreadable(config: Option<ConfigName>, error: &ConfigError) -> Listed {
    let (ConfigError::Invalid { path, .. } | ConfigError::NotFound { path, .. }) = error;
    Listed {
        config,
        path: path.clone(),
        name: String::new(),
        kind: Err(shown(&error.to_string(), MAX_ERROR_CHARS)),
        repaired: None,
    }
}

fn kind(source: &Source) -> Kind {
    match source {
        Source::Compose(_) => Kind::Compose,
        Source::Recipe(recipe) => match recipe.base {
            Base::Image(_) => Kind::Image,
            Base::Dockerfile(_) => Kind::Dockerfile,
            Base::Default(_) => Kind::None,
        },
    }
}

fn shown(text: &str, chars: usize) -> String {
    shortened(&printable_line(text), chars)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn listed(files: &[(&str, &str)]) -> (Vec<Listed>, Option<Option<ConfigName>>) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        list(&CloneFiles::open(dir.path()).unwrap())
    }

    #[test]
    fn every_configuration_is_listed_by_what_asks_for_it_with_its_kind_or_its_fault() {
        let (configs, used) = listed(&[
            (
                ".devcontainer.json",
                r#"{"name": "all\nof it", "image": "a"}"#,
            ),
            (
                ".devcontainer/gpu/devcontainer.json",
                "{\"image\": \"-x\",\n  \"name\": \n",
            ),
            (
                "services/api/.devcontainer/devcontainer.json",
                r#"{"build": {"dockerfile": "D"}}"#,
            ),
            (
                "services/api/.devcontainer/dev/devcontainer.json",
                r#"{"dockerComposeFile": "c.yml"}"#,
            ),
            ("web/.devcontainer.json", "{\n  \"image\": \n"),
            ("web/node_modules/x/.devcontainer.json", "{}"),
            ("a/b/c/d/e/f/g/.devcontainer.json", "{}"),
        ]);
        let texts: Vec<_> = configs
            .iter()
            .map(|one| {
                (
                    one.config.as_ref().map_or("", ConfigName::as_str),
                    one.kind.clone().ok(),
                )
            })
            .collect();
        assert_eq!(
            texts,
            [
                ("", Some(Kind::Image)),
                ("gpu", None),
                ("./web", Some(Kind::None)),
                ("services/api", Some(Kind::Dockerfile)),
                ("services/api/.devcontainer/dev", Some(Kind::Compose)),
            ]
        );
        assert_eq!(used, Some(None));
        assert!(!configs[0].name.contains('\n'), "{:?}", configs[0].name);
        let fault = configs[1].kind.as_ref().unwrap_err();
        assert!(
            fault.contains("gpu/devcontainer.json") && fault.contains("line"),
            "{fault}"
        );
        let repaired: Vec<_> = configs.iter().map(|one| one.repaired.as_deref()).collect();
        assert!(
            repaired[2].is_some_and(|fault| fault.contains("line")),
            "{repaired:?}"
        );
        assert_eq!(repaired.iter().flatten().count(), 1, "{repaired:?}");
    }

    #[test]
    fn the_one_that_is_used_unasked_is_told() {
        let only = ".devcontainer/api/devcontainer.json";
        assert_eq!(listed(&[(only, "{}")]).1, Some("api".parse().ok()));
        assert_eq!(listed(&[(only, "no JSON")]).1, Some("api".parse().ok()));
        let two = [(only, "{}"), (".devcontainer/web/devcontainer.json", "{}")];
        assert_eq!(listed(&two).1, None);
        assert_eq!(listed(&[("api/.devcontainer.json", "{}")]).1, None);
        assert_eq!(
            listed(&[(".devcontainer/devcontainer.json", "x")]).1,
            Some(None)
        );
    }
}
