use std::path::{Path, PathBuf};

use hearth_domain::{ConfigName, config_candidates};

use super::{
    choice::{MAX_NAMES, all_in, named_in},
    error::ConfigError,
    features::lockfile_path,
    read::{DevcontainerConfig, Place, Source},
    recipe::Base,
};
use crate::clone_files::CloneFiles;

/// Largest configuration that is read, in bytes. Real ones have a few KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// What a clone has.
#[derive(Debug)]
pub enum Found {
    /// The configuration that was asked for; without a name the default one.
    Config(Box<DevcontainerConfig>),
    /// No default one was there, and this is the only other one.
    Only(Box<DevcontainerConfig>, ConfigName),
    /// No default one. These can be asked for by their names.
    NoDefault(Vec<String>),
}

impl Found {
    /// The configuration, if there is one to use.
    pub fn config(self) -> Option<Box<DevcontainerConfig>> {
        match self {
            Self::Config(config) | Self::Only(config, _) => Some(config),
            Self::NoDefault(_) => None,
        }
    }
}

/// Finds and reads the configuration `name` of a clone. With no name it is the default one, or where there is none the only
/// one that `.devcontainer` has in a folder. Links inside the clone are followed. Waits for the disk.
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
    let candidates = config_candidates(name);
    if let Some(config) = first_of(files, place, &candidates)? {
        return Ok(Found::Config(config));
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
    if name.is_some() {
        let mut named = all_in(files);
        let more = named.len().saturating_sub(MAX_NAMES);
        named.truncate(MAX_NAMES);
        return Err(ConfigError::NotFound {
            path: candidates.into_iter().next().unwrap_or_default(),
            named,
            more,
        });
    }
    let mut named = named_in(files, Path::new(""));
    if let [only] = named.as_slice()
        && let Some(config) = first_of(files, place, &only.candidates())?
    {
        return Ok(Found::Only(config, only.clone()));
    }
    if named.is_empty() {
        // Those of other folders are not used without being asked for, and can be.
        named = all_in(files);
    }
    let names = named.iter().map(ToString::to_string);
    Ok(Found::NoDefault(names.take(MAX_NAMES).collect()))
}

/// Reads the first of these files that is there.
fn first_of(
    files: &CloneFiles,
    place: Place<'_>,
    candidates: &[PathBuf],
) -> Result<Option<Box<DevcontainerConfig>>, ConfigError> {
    let Some(path) = candidates.iter().find(|path| files.has_file(path)) else {
        return Ok(None);
    };
    let text = files.text(path, MAX_BYTES);
    let text = text.map_err(|error| invalid(path, error))?;
    let mut config = DevcontainerConfig::parse(place, path, &text)?;
    config.unread = unread(files, candidates, &config);
    Ok(Some(Box::new(config)))
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

fn invalid(path: &Path, why: impl std::fmt::Display) -> ConfigError {
    ConfigError::Invalid {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
