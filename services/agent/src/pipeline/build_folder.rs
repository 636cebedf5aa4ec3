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
        Base, BuildOption, ClonePath, DevcontainerConfig, Features, LeftOut, LocalFeature, Located,
        MAX_FEATURES, Recipe, lockfile, lockfile_path,
    },
    external::devcontainer::PlainBuild,
};

/// A workspace folder that is made for the build alone.
#[derive(Debug)]
pub struct BuildFolder {
    /// The folder; named like the repository.
    pub folder: PathBuf,
    /// The configuration in it.
    pub config: PathBuf,
    /// What docker builds, where the devcontainer CLI does not.
    pub plain: Option<PlainBuild>,
    /// Options that the build does not get since their files cannot be used.
    pub left_out: Vec<LeftOut>,
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
    let mut options = Options {
        files,
        clone,
        folder: below.with_extension("files"),
        left_out: Vec::new(),
    };
    let located = options.located(recipe)?;
    let left_out = options.left_out;
    let folder = below.join(clone.file_name().unwrap_or_default());
    let mut target = NewFolder::create(&folder)?;
    if let (true, Base::Dockerfile(build), Some(located)) = (recipe.plain, &recipe.base, &located) {
        return Ok(BuildFolder {
            config: folder.join(&config.path),
            folder,
            plain: Some(PlainBuild {
                dockerfile: located.dockerfile.clone(),
                context: located.context.clone(),
                target: build.target.clone(),
                args: build.args.clone(),
                options: located.options.clone(),
            }),
            left_out,
        });
    }
    let properties = Value::Object(recipe.to_properties(located));
    if let Some(features) = &recipe.features {
        copy_features(files, config.folder(), features, &mut target)?;
    }
    if let Some(text) = lockfile(files, &config.path).map_err(|error| error.to_string())? {
        target.write(&lockfile_path(&config.path), text.as_bytes())?;
    }
    target.write(&config.path, properties.to_string().as_bytes())?;
    Ok(BuildFolder {
        config: folder.join(&config.path),
        folder,
        plain: None,
        left_out,
    })
}

/// The options of a build, and the files that they name.
struct Options<'a> {
    files: &'a CloneFiles,
    clone: &'a Path,
    /// Files of the clone that docker opens itself are copied to here.
    folder: PathBuf,
    left_out: Vec<LeftOut>,
}

impl Options<'_> {
    /// Where the files of the build are, by absolute paths. Links that lead out of the clone are refused: the build could read any
    /// file of the node otherwise.
    fn located(&mut self, recipe: &Recipe) -> Result<Option<Located>, String> {
        let Base::Dockerfile(build) = &recipe.base else {
            return Ok(None);
        };
        let located = |path: &Path| -> Result<PathBuf, String> {
            ClonePath::new(self.files, path)
                .map(|path| self.clone.join(path.real).components().collect())
                .map_err(|error| error.to_string())
        };
        let dockerfile = match &build.inline {
            Some(text) => keep(&self.folder, "Dockerfile", text.as_bytes())?,
            None => located(&build.dockerfile)?,
        };
        let located = Located {
            dockerfile,
            context: located(&build.context)?,
            options: self.words(&build.options),
        };
        // docker waits at a pipe until the attempt's time limit.
        let ignores = build.ignore_files();
        let dockerfile = build.inline.is_none().then_some(&build.dockerfile);
        for path in dockerfile.into_iter().chain(&ignores) {
            if let Err(error @ CloneFileError::NotAFile(_)) = self.files.open_file(path) {
                return Err(format!("{}: {error}", path.display()));
            }
        }
        Ok(Some(located))
    }

    fn words(&mut self, options: &[BuildOption]) -> Vec<String> {
        let (mut words, mut kept) = (Vec::new(), 0);
        for option in options {
            let mut keep = |content: Vec<u8>| {
                kept += 1;
                keep(&self.folder, &format!("{kept}"), &content)
            };
            match option.word(self.files, self.clone, &mut keep) {
                Ok(word) => words.extend(word),
                Err(left_out) => self.left_out.push(left_out),
            }
        }
        words
    }
}

/// Writes a file of the clone into the attempt's private folder.
fn keep(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf, String> {
    NewFolder::create(folder)?.write(Path::new(name), content)?;
    Ok(folder.join(name))
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
            if done.len() > MAX_FEATURES {
                return Err(format!(
                    "there are more than {MAX_FEATURES} features in the repository"
                ));
            }
            let LocalFeature {
                folder, depends_on, ..
            } = LocalFeature::read(files, config_folder, &folder)
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
