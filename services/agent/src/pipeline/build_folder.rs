use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Display,
    io,
    path::{Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use hearth_domain::FeatureId;
use hearth_runtime::blocking;
use serde_json::Value;

use crate::{
    clone_files::{CloneFiles, EntryKind},
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

/// Writes the recipe of `config` into a new folder below `below`, for a build from the files in `clone`.
///
/// The image's metadata label then has features and base image only: hooks and other properties of the container come
/// from the clone at every start, and each hook runs once. The CLI's lockfile is not written into the clone either.
pub async fn build_folder(
    below: PathBuf,
    clone: &Path,
    config: &DevcontainerConfig,
) -> Result<BuildFolder, String> {
    let (clone, config) = (clone.to_owned(), config.clone());
    blocking(move || make(&below, &clone, &config)).await
}

fn make(below: &Path, clone: &Path, config: &DevcontainerConfig) -> Result<BuildFolder, String> {
    let files = CloneFiles::open(clone).map_err(at(clone))?;
    let recipe = config
        .recipe()
        .ok_or("Docker Compose builds its images itself")?;
    let properties = properties(&files, clone, recipe)?;
    let folder = below.join(clone.file_name().unwrap_or_default());
    let target = Target::create(&folder)?;
    if let Some(features) = &recipe.features {
        copy_features(&files, config.folder(), features, &target)?;
    }
    if let Some(text) = lockfile(&files, &config.path).map_err(|error| error.to_string())? {
        target.write(&lockfile_path(&config.path), &mut text.as_bytes())?;
    }
    target.write(&config.path, &mut properties.to_string().as_bytes())?;
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
    Ok(Value::Object(
        recipe.to_properties(Some((&dockerfile, &context))),
    ))
}

/// Copies the features in the clone, and those in it that they depend on, to where the configuration names them.
fn copy_features(
    files: &CloneFiles,
    config_folder: &Path,
    features: &Features,
    target: &Target,
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
            target.copy_folder(files, &folder.real, &folder.named)?;
            queue.extend(depends_on);
        }
    }
    Ok(())
}

/// Copies a whole clone into a new folder.
pub fn copy_clone(files: &CloneFiles, into: &Path) -> Result<(), String> {
    let everything = Path::new("");
    Target::create(into)?.copy_folder(files, everything, everything)
}

/// The new folder. Nothing is written through a link in it that leads out of it: links come from the repository.
struct Target(Dir);

impl Target {
    fn create(folder: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(folder)
            .and_then(|()| Dir::open_ambient_dir(folder, ambient_authority()))
            .map(Self)
            .map_err(at(folder))
    }

    /// Copies a folder of the clone; links are copied as links, as the CLI copies a feature.
    fn copy_folder(&self, files: &CloneFiles, from: &Path, to: &Path) -> Result<(), String> {
        self.0.create_dir_all(or_root(to)).map_err(at(to))?;
        for entry in files.entries(from).map_err(at(from))? {
            let (from, to) = (from.join(&entry.name), to.join(&entry.name));
            match entry.kind {
                EntryKind::Folder { .. } => self.copy_folder(files, &from, &to)?,
                EntryKind::Link { target } => {
                    self.make_room(&to)?;
                    self.0.symlink_contents(target, &to).map_err(at(&to))?;
                }
                EntryKind::File { .. } => {
                    let mut source = files.open_file(&from).map_err(at(&from))?;
                    let permissions = source.metadata().map_err(at(&from))?.permissions();
                    self.write(&to, &mut source)?;
                    self.0.set_permissions(&to, permissions).map_err(at(&to))?;
                }
            }
        }
        Ok(())
    }

    /// Writes a new file, in place of one or a link that was copied.
    fn write(&self, path: &Path, content: &mut dyn io::Read) -> Result<(), String> {
        let folder = path.parent().unwrap_or(Path::new(""));
        self.0.create_dir_all(or_root(folder)).map_err(at(folder))?;
        self.make_room(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut file = self.0.open_with(path, &options).map_err(at(path))?;
        io::copy(content, &mut file).map_err(at(path))?;
        Ok(())
    }

    fn make_room(&self, path: &Path) -> Result<(), String> {
        match self.0.remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
            _ => Ok(()),
        }
    }
}

fn or_root(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

fn at<E: Display>(path: &Path) -> impl Fn(E) -> String {
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod agreement_tests;
#[cfg(test)]
#[path = "build_folder_tests.rs"]
mod tests;
