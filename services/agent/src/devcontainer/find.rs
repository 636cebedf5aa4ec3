use std::path::{Path, PathBuf};

use hearth_domain::ConfigName;

use super::{
    error::ConfigError,
    read::{DevcontainerConfig, Place},
};
use crate::clone_files::{CloneFiles, EntryKind};

/// Largest configuration that is read, in bytes. Real ones have a few KiB.
const MAX_BYTES: u64 = 1024 * 1024;
/// Folder of the configurations.
const FOLDER: &str = ".devcontainer";
/// At most this many names are listed.
const MAX_NAMES: usize = 20;

/// What a clone has.
#[derive(Debug)]
pub enum Found {
    /// The configuration that was asked for.
    Config(Box<DevcontainerConfig>),
    /// No default one. These can be asked for by their names.
    NoDefault(Vec<String>),
}

/// Finds and reads the configuration `name` of a clone; with no name the default one. Links inside the clone are followed.
/// Waits for the disk.
pub fn find(place: Place<'_>, name: Option<&ConfigName>) -> Result<Found, ConfigError> {
    let candidates: Vec<PathBuf> = match name {
        Some(name) => vec![named_path(name.as_str())],
        None => vec![
            Path::new(FOLDER).join("devcontainer.json"),
            ".devcontainer.json".into(),
        ],
    };
    let files = CloneFiles::open(place.clone).map_err(|error| invalid(Path::new("."), error))?;
    for path in &candidates {
        if files.has_file(path) {
            let text = files
                .text(path, MAX_BYTES)
                .map_err(|error| invalid(path, error))?;
            let config = DevcontainerConfig::parse(place, path, &text)?;
            return Ok(Found::Config(Box::new(config)));
        }
    }
    // One that is there and cannot be read is not the same as none.
    let folders = candidates.iter().flat_map(|path| path.ancestors());
    if let Some(path) = folders.clone().find(|path| files.is_dead_link(path)) {
        return Err(invalid(path, "is a link that leads nowhere"));
    }
    if let Some(path) = candidates
        .iter()
        .find(|path| files.folder_mode(path).is_ok())
    {
        return Err(invalid(path, "is a folder, and has to be a file"));
    }
    let named = names(&files);
    match name {
        Some(name) => Err(ConfigError::NotFound {
            path: named_path(name.as_str()),
            named,
        }),
        None => Ok(Found::NoDefault(named)),
    }
}

fn named_path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name).join("devcontainer.json")
}

/// Names of the configurations that are asked for by name.
fn names(files: &CloneFiles) -> Vec<String> {
    let entries = files.entries(Path::new(FOLDER)).unwrap_or_default();
    entries
        .into_iter()
        .filter(|entry| !matches!(entry.kind, EntryKind::File { .. }))
        .filter_map(|entry| entry.name.into_string().ok())
        .filter(|name| name.parse::<ConfigName>().is_ok() && files.has_file(&named_path(name)))
        .take(MAX_NAMES)
        .collect()
}

fn invalid(path: &Path, why: impl std::fmt::Display) -> ConfigError {
    ConfigError::Invalid {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::devcontainer::Base;

    /// A clone with configurations whose image is named like their file.
    fn clone_with(paths: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("\u{feff}{{\"image\": {path:?}}}\r\n")).unwrap();
        }
        dir
    }

    fn found(clone: &Path, name: Option<&str>) -> Result<Found, ConfigError> {
        let place = Place {
            clone,
            default_image: "default:1",
        };
        find(place, name.map(|name| name.parse().unwrap()).as_ref())
    }

    #[test]
    fn a_configuration_that_leads_nowhere_is_not_none() {
        let fault = |make: &dyn Fn(&Path), name| {
            let dir = clone_with(&["README"]);
            make(dir.path());
            found(dir.path(), name).unwrap_err().to_string()
        };
        let nowhere = "is a link that leads nowhere";
        let folder = |clone: &Path| symlink("vendor/dc", clone.join(".devcontainer")).unwrap();
        assert_eq!(fault(&folder, None), format!(".devcontainer: {nowhere}"));
        assert_eq!(
            fault(&folder, Some("a")),
            format!(".devcontainer: {nowhere}")
        );
        let file =
            |clone: &Path| symlink("nowhere.json", clone.join(".devcontainer.json")).unwrap();
        assert_eq!(fault(&file, None), format!(".devcontainer.json: {nowhere}"));
        let itself =
            |clone: &Path| symlink(".devcontainer.json", clone.join(".devcontainer.json")).unwrap();
        assert_eq!(
            fault(&itself, None),
            format!(".devcontainer.json: {nowhere}")
        );
        let is_folder = |clone: &Path| {
            fs::create_dir_all(clone.join(".devcontainer/devcontainer.json")).unwrap()
        };
        assert!(fault(&is_folder, None).contains("devcontainer.json: is a folder"));
    }

    #[test]
    fn the_encoding_that_is_not_read_is_named() {
        let dir = clone_with(&["README"]);
        let utf16: Vec<u8> = "\u{feff}{}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        fs::write(dir.path().join(".devcontainer.json"), utf16).unwrap();
        let fault = found(dir.path(), None).unwrap_err().to_string();
        assert_eq!(fault, ".devcontainer.json: is UTF-16; save it as UTF-8");
    }

    fn image(clone: &Path, name: Option<&str>) -> (PathBuf, String) {
        match found(clone, name).unwrap() {
            Found::Config(config) => match &config.recipe().unwrap().base {
                Base::Image(image) => (config.path.clone(), image.clone()),
                other => panic!("{other:?}"),
            },
            Found::NoDefault(named) => panic!("{named:?}"),
        }
    }

    #[test]
    fn the_folder_comes_before_the_file_and_a_mark_in_front_is_skipped() {
        let (folder, file) = (".devcontainer/devcontainer.json", ".devcontainer.json");
        assert_eq!(image(clone_with(&[folder, file]).path(), None).1, folder);
        assert_eq!(image(clone_with(&[file]).path(), None).1, file);
    }

    #[test]
    fn without_a_default_and_for_a_missing_name_those_that_there_are_are_listed() {
        let gpu = ".devcontainer/gpu/devcontainer.json";
        let clone = clone_with(&[
            gpu,
            ".devcontainer/b/devcontainer.json",
            ".devcontainer/none/x",
        ]);
        symlink("gpu", clone.path().join(".devcontainer/linked")).unwrap();
        assert_eq!(image(clone.path(), Some("gpu")).1, gpu);
        let Found::NoDefault(named) = found(clone.path(), None).unwrap() else {
            panic!("there is one")
        };
        assert_eq!(named, ["b", "gpu", "linked"]);
        let error = found(clone.path(), Some("cpu")).unwrap_err().to_string();
        assert_eq!(
            error,
            "the repository has no .devcontainer/cpu/devcontainer.json; it has the configurations b, gpu, linked"
        );
        let error = found(clone_with(&["x"]).path(), Some("cpu"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the repository has no .devcontainer/cpu/devcontainer.json"
        );
    }

    #[test]
    fn links_inside_the_clone_are_followed_and_others_refused() {
        for (link, target) in [
            (".devcontainer", "tools/dev"),
            (
                ".devcontainer/devcontainer.json",
                "../tools/dev/devcontainer.json",
            ),
            (".devcontainer.json", "tools/dev/devcontainer.json"),
        ] {
            let clone = clone_with(&["tools/dev/devcontainer.json"]);
            let link = clone.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(target, link).unwrap();
            assert_eq!(image(clone.path(), None).1, "tools/dev/devcontainer.json");
        }
        let clone = clone_with(&[]);
        symlink("/etc/passwd", clone.path().join(".devcontainer.json")).unwrap();
        let error = found(clone.path(), None).unwrap_err().to_string();
        assert_eq!(error, ".devcontainer.json: leads out of the repository");
    }
}
