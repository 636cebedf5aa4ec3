use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

use hearth_domain::FeatureId;
use hearth_runtime::blocking;
use serde_json::Value;

use crate::{
    clone_files::{CloneFileError, CloneFiles, NewFolder},
    devcontainer::{
        Base, ClonePath, DevcontainerConfig, Features, LocalFeature, Recipe, lockfile,
        lockfile_path,
    },
};

/// A workspace folder that is made for the build alone.
#[derive(Debug)]
pub struct BuildFolder {
    /// The folder; named like the repository.
    pub folder: PathBuf,
    /// The configuration in it.
    pub config: PathBuf,
}

/// Writes the recipe of `config` into a new folder below `below`, for a build from `files`, which are in `clone`.
///
/// The image's metadata label then has features and base image only: hooks and other properties of the container come
/// from the clone at every start, and each hook runs once. The CLI's lockfile is not written into the clone either.
pub async fn build_folder(
    below: PathBuf,
    files: &CloneFiles,
    clone: &Path,
    config: &DevcontainerConfig,
) -> Result<BuildFolder, String> {
    let (files, clone, config) = (files.clone(), clone.to_owned(), config.clone());
    blocking(move || make(&below, &files, &clone, &config)).await
}

fn make(
    below: &Path,
    files: &CloneFiles,
    clone: &Path,
    config: &DevcontainerConfig,
) -> Result<BuildFolder, String> {
    let recipe = config
        .recipe()
        .ok_or("Docker Compose builds its images itself")?;
    let properties = properties(files, clone, recipe)?;
    let folder = below.join(clone.file_name().unwrap_or_default());
    let mut target = NewFolder::create(&folder)?;
    if let Some(features) = &recipe.features {
        copy_features(files, config.folder(), features, &mut target)?;
    }
    if let Some(text) = lockfile(files, &config.path).map_err(|error| error.to_string())? {
        target.write(&lockfile_path(&config.path), &text)?;
    }
    target.write(&config.path, &properties.to_string())?;
    Ok(BuildFolder {
        config: folder.join(&config.path),
        folder,
    })
}

/// The configuration, with absolute paths of what is in the clone. Links that lead out of it are refused: the build could
/// read any file of the node otherwise.
fn properties(files: &CloneFiles, clone: &Path, recipe: &Recipe) -> Result<Value, String> {
    let Base::Dockerfile(build) = &recipe.base else {
        return Ok(Value::Object(recipe.to_properties(None)));
    };
    let located = |path: &Path| -> Result<PathBuf, String> {
        ClonePath::new(files, path)
            .map(|path| clone.join(path.real).components().collect())
            .map_err(|error| error.to_string())
    };
    let (dockerfile, context) = (located(&build.dockerfile)?, located(&build.context)?);
    // docker waits at a pipe until the attempt's time limit.
    let ignores = [
        build.context.join(".dockerignore"),
        with_ending(&build.dockerfile, ".dockerignore"),
    ];
    for path in [&build.dockerfile].into_iter().chain(&ignores) {
        if let Err(error @ CloneFileError::NotAFile(_)) = files.open_file(path) {
            return Err(format!("{}: {error}", path.display()));
        }
    }
    Ok(Value::Object(
        recipe.to_properties(Some((&dockerfile, &context))),
    ))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Copies the features in the clone, and those in it that they depend on, to where the configuration names them.
fn copy_features(
    files: &CloneFiles,
    config_folder: &Path,
    features: &Features,
    target: &mut NewFolder,
) -> Result<(), String> {
    let mut queue: VecDeque<String> = features.options.keys().cloned().collect();
    let mut done = BTreeSet::new();
    while let Some(id) = queue.pop_front() {
        let FeatureId::Local(folder) = FeatureId::new(&id) else {
            continue;
        };
        if done.insert(id) {
            let LocalFeature { folder, depends_on } =
                LocalFeature::read(files, config_folder, &folder)
                    .map_err(|error| error.to_string())?;
            target.copy(files, &folder.real, &folder.named)?;
            queue.extend(depends_on);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod agreement_tests;
#[cfg(test)]
#[path = "build_folder_tests.rs"]
mod tests;
