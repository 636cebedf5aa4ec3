use std::path::{Path, PathBuf};

use hearth_domain::ConfigName;

use super::{
    error::ConfigError,
    features::lockfile_path,
    read::{DevcontainerConfig, Place, Source},
    recipe::Base,
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
    let files = CloneFiles::open(place.clone).map_err(|error| invalid(Path::new("."), error))?;
    find_in(&files, place, name)
}

/// The same in `files`, which are those of the clone.
pub(crate) fn find_in(
    files: &CloneFiles,
    place: Place<'_>,
    name: Option<&ConfigName>,
) -> Result<Found, ConfigError> {
    let candidates: Vec<PathBuf> = match name {
        Some(name) => vec![named_path(name.as_str())],
        None => vec![
            Path::new(FOLDER).join("devcontainer.json"),
            ".devcontainer.json".into(),
        ],
    };
    for path in &candidates {
        if files.has_file(path) {
            let text = files
                .text(path, MAX_BYTES)
                .map_err(|error| invalid(path, error))?;
            let mut config = DevcontainerConfig::parse(place, path, &text)?;
            config.unread = unread(files, &candidates, &config);
            return Ok(Found::Config(Box::new(config)));
        }
    }
    // One that is there and cannot be read is not the same as none.
    let mut folders = candidates.iter().flat_map(|path| path.ancestors());
    if let Some((path, why)) = folders.find_map(|path| Some((path, files.link_fault(path)?))) {
        return Err(invalid(path, why));
    }
    if let Some(path) = candidates
        .iter()
        .find(|path| files.folder_mode(path).is_ok())
    {
        return Err(invalid(path, "is a folder, and has to be a file"));
    }
    let named = names(files);
    match name {
        Some(name) => Err(ConfigError::NotFound {
            path: named_path(name.as_str()),
            named,
        }),
        None => Ok(Found::NoDefault(named)),
    }
}

/// Sentences about links that cannot be followed, in the place of files that the configuration can do without: somebody
/// meant them to be there.
fn unread(files: &CloneFiles, candidates: &[PathBuf], config: &DevcontainerConfig) -> Vec<String> {
    let mut paths: Vec<PathBuf> = candidates
        .iter()
        .take_while(|path| **path != config.path)
        .flat_map(|path| path.ancestors().map(Path::to_owned))
        .collect();
    paths.push(lockfile_path(&config.path));
    if let Source::Recipe(recipe) = &config.source
        && let Base::Dockerfile(build) = &recipe.base
    {
        paths.extend(build.ignore_files());
    }
    let told = paths.iter().filter_map(|path| {
        let why = files.link_fault(path)?;
        Some(format!("{} {why}: it is left out", path.display()))
    });
    told.collect()
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
    fn links_that_lead_nowhere_or_out_are_told_whichever_file_they_stand_for() {
        let targets = [
            ("itself", "leads nowhere"),
            ("missing/file", "leads nowhere"),
            ("/etc/passwd", "leads out of the repository"),
            (
                "../../../../../../etc/passwd",
                "leads out of the repository",
            ),
        ];
        let optional = [
            "ctx/.dockerignore",
            "Dockerfile.dockerignore",
            ".devcontainer-lock.json",
            ".devcontainer/devcontainer.json",
            ".devcontainer",
        ];
        let linked = |path: &str, target: &str| {
            let dir = clone_with(&["Dockerfile", "ctx/x"]);
            let link = dir.path().join(path);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            let itself = link.file_name().unwrap().to_owned();
            let target = if target == "itself" {
                itself.as_os_str()
            } else {
                target.as_ref()
            };
            symlink(target, &link).unwrap();
            dir
        };
        let text = r#"{"build": {"dockerfile": "Dockerfile", "context": "ctx"}}"#;
        for (path, (target, why)) in optional
            .iter()
            .flat_map(|path| targets.map(|to| (path, to)))
        {
            let dir = linked(path, target);
            fs::write(dir.path().join(".devcontainer.json"), text).unwrap();
            let told = match found(dir.path(), None) {
                Ok(Found::Config(config)) => config.unread,
                // What leads out could be the configuration that is meant.
                Err(error) if why.contains("out") => vec![error.to_string()],
                other => panic!("{other:?}"),
            };
            let names = |told: &String| told.starts_with(path) && told.contains(why);
            assert!(
                told.len() == 1 && told.iter().all(names),
                "{path} {target}: {told:?}"
            );
        }
        // Without another one it is an error.
        for path in [
            ".devcontainer",
            ".devcontainer.json",
            ".devcontainer/devcontainer.json",
        ] {
            for (target, why) in targets {
                let error = found(linked(path, target).path(), None)
                    .unwrap_err()
                    .to_string();
                assert!(
                    error.starts_with(".devcontainer") && error.contains(why),
                    "{error}"
                );
            }
        }
        assert!(
            found(clone_with(&[".devcontainer.json"]).path(), None).is_ok_and(
                |found| matches!(found, Found::Config(config) if config.unread.is_empty())
            )
        );
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
