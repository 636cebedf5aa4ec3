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
use hearth_domain::{FeatureId, text::shortened};
use hearth_runtime::blocking;
use serde_json::Value;

use crate::{
    clone_files::{CloneFiles, EntryKind},
    devcontainer::{
        Base, BuildOption, ClonePath, DevcontainerConfig, Features, LeftOut, LocalFeature, Located,
        MAX_FEATURES, Recipe, lockfile, lockfile_path,
    },
};

/// Most folders in each other. They are copied by recursion.
const MAX_DEPTH: usize = 100;

/// A workspace folder that is made for the build alone.
#[derive(Debug)]
pub struct BuildFolder {
    /// The folder; named like the repository.
    pub folder: PathBuf,
    /// The configuration in it.
    pub config: PathBuf,
    /// Options that the build does not get since their files cannot be used.
    pub left_out: Vec<LeftOut>,
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
    let mut options = Options {
        files: &files,
        clone,
        folder: below.with_extension("files"),
        left_out: Vec::new(),
    };
    let properties = options.properties(recipe)?;
    let left_out = options.left_out;
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
    /// The configuration, with absolute paths of what is in the clone. Links that lead out of it are refused: the build
    /// could read any file of the node otherwise.
    fn properties(&mut self, recipe: &Recipe) -> Result<Value, String> {
        let Base::Dockerfile(build) = &recipe.base else {
            return Ok(Value::Object(recipe.to_properties(None)));
        };
        let located = |path: &Path| -> Result<PathBuf, String> {
            ClonePath::new(self.files, path)
                .map(|path| self.clone.join(path.real).components().collect())
                .map_err(|error| error.to_string())
        };
        let located = Located {
            dockerfile: located(&build.dockerfile)?,
            context: located(&build.context)?,
            options: self.words(&build.options),
        };
        Ok(Value::Object(recipe.to_properties(Some(located))))
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

/// Writes a file that only its owner reads.
fn keep(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf, String> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

    let path = folder.join(name);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(at(folder))?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    io::Write::write_all(&mut file, content).map_err(at(&path))?;
    Ok(path)
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
            if done.len() > MAX_FEATURES {
                return Err(format!(
                    "there are more than {MAX_FEATURES} features in the repository"
                ));
            }
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
        if from.components().count() > MAX_DEPTH {
            return Err(format!(
                "{}: more than {MAX_DEPTH} folders in each other",
                shortened(&from.to_string_lossy(), 100)
            ));
        }
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
