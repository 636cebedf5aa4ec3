use std::{
    fmt::Display,
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use hearth_runtime::blocking;
use serde_json::{Map, Value, json};

use crate::{
    clone_files::{CloneFileError, CloneFiles, EntryKind},
    devcontainer_config::{DevcontainerConfig, IMAGE_PROPERTIES},
};

/// Properties that the install scripts of features can read; they change the image only where there are features.
const FEATURE_PROPERTIES: [&str; 3] = ["remoteUser", "containerUser", "containerEnv"];
/// A workspace folder that is made for the build alone.
#[derive(Debug)]
pub struct BuildFolder {
    /// The folder; named like the repository, which `${localWorkspaceFolderBasename}` stands for.
    pub folder: PathBuf,
    /// The configuration in it.
    pub config: PathBuf,
}

/// Writes the properties of `config` that make the image into a new folder below `below`, for a build from the files in
/// `clone`.
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
    let name = clone.file_name().unwrap_or_default();
    let folder = below.join(name);
    let file = folder.join(&config.path);
    let dir = |path: &Path| path.parent().map(Path::to_path_buf).unwrap_or_default();
    let (from, to) = (dir(&clone.join(&config.path)), dir(&file));
    fs::create_dir_all(&to).map_err(at(&to))?;

    let mut properties = Map::new();
    let has_features = config
        .properties
        .get("features")
        .and_then(Value::as_object)
        .is_some_and(|features| !features.is_empty());
    for (name, value) in &config.properties {
        let name = name.as_str();
        if IMAGE_PROPERTIES.contains(&name) || (has_features && FEATURE_PROPERTIES.contains(&name))
        {
            properties.insert(name.to_owned(), value.clone());
        }
    }
    let paths = ClonePaths {
        files: &files,
        clone,
        from: &from,
    };
    match properties.get_mut("build").and_then(Value::as_object_mut) {
        Some(build) => paths.make_absolute(build, "dockerfile")?,
        None => paths.make_absolute(&mut properties, "dockerFile")?,
    }
    if has_features {
        // Local features are in the configuration's folder, and may depend on each other.
        let name = Path::new(".devcontainer");
        copy_folder(&files, name, &folder.join(name))?;
    }
    for lockfile in ["devcontainer-lock.json", ".devcontainer-lock.json"] {
        let path = dir(&config.path).join(lockfile);
        if files.has_file(&path) {
            copy_file(&files, &path, &to.join(lockfile))?;
        }
    }
    let mut properties = Value::Object(properties);
    replace_text(
        &mut properties,
        "${localWorkspaceFolder}",
        &clone.to_string_lossy(),
    );
    fs::write(&file, properties.to_string()).map_err(at(&file))?;
    Ok(BuildFolder {
        folder,
        config: file,
    })
}

/// Resolves paths in a configuration, which are relative to its folder `from`.
struct ClonePaths<'a> {
    files: &'a CloneFiles,
    clone: &'a Path,
    from: &'a Path,
}

impl ClonePaths<'_> {
    /// Makes the paths of the Dockerfile and of the context absolute. They must be in the clone: the build could read any
    /// file of the node otherwise.
    fn make_absolute(
        &self,
        object: &mut Map<String, Value>,
        dockerfile: &str,
    ) -> Result<(), String> {
        let Some(file) = object.get(dockerfile).and_then(Value::as_str) else {
            return Ok(());
        };
        let file = self.inside(file, dockerfile)?;
        // The default of the CLI: the Dockerfile's folder.
        let context = match object.get("context").and_then(Value::as_str) {
            Some(context) => self.inside(context, "context")?,
            None => file.parent().map(Path::to_path_buf).unwrap_or_default(),
        };
        object.insert(dockerfile.to_owned(), json!(file));
        object.insert("context".to_owned(), json!(context));
        Ok(())
    }

    fn inside(&self, path: &str, property: &str) -> Result<PathBuf, String> {
        let path = path.replace("${localWorkspaceFolder}", &self.clone.to_string_lossy());
        let full = normal(&self.from.join(&path));
        let real = match full.strip_prefix(self.clone) {
            Ok(path) => self.files.resolve(path),
            Err(_) => Err(CloneFileError::LeadsOut),
        };
        match real {
            Ok(_) => Ok(full),
            Err(error @ CloneFileError::LeadsOut) => Err(format!("{property} {path:?} {error}")),
            Err(error) => Err(format!("{property} {path:?}: {error}")),
        }
    }
}

fn replace_text(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => *text = text.replace(from, to),
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| replace_text(value, from, to)),
        Value::Object(object) => object
            .values_mut()
            .for_each(|value| replace_text(value, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Copies a folder of the clone, if it exists; links are copied as links.
pub fn copy_folder(files: &CloneFiles, from: &Path, to: &Path) -> Result<(), String> {
    let entries = match files.entries(from) {
        Err(error) if error.is_not_found() => return Ok(()),
        entries => entries.map_err(at(from))?,
    };
    fs::create_dir_all(to).map_err(at(to))?;
    for entry in entries {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        match entry.kind {
            EntryKind::Folder { .. } => copy_folder(files, &from, &to)?,
            EntryKind::Link { target } => symlink(target, &to).map_err(at(&to))?,
            EntryKind::File { .. } => copy_file(files, &from, &to)?,
        }
    }
    Ok(())
}

fn copy_file(files: &CloneFiles, from: &Path, to: &Path) -> Result<(), String> {
    let mut source = files.open_file(from).map_err(at(from))?.into_std();
    let mut copy = || {
        let mut copy = fs::File::create(to)?;
        io::copy(&mut source, &mut copy)?;
        copy.set_permissions(source.metadata()?.permissions())
    };
    copy().map_err(at(to))
}

fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            part => whole.push(part),
        }
        whole
    })
}

fn at<E: Display>(path: &Path) -> impl Fn(E) -> String {
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
#[path = "build_folder_tests.rs"]
mod tests;
