use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::devcontainer_config::{DevcontainerConfig, IMAGE_PROPERTIES};

/// Properties that features' install scripts see, and that reach layers only through them.
const FEATURE_PROPERTIES: [&str; 3] = ["remoteUser", "containerUser", "containerEnv"];
/// A workspace folder made for the build alone.
#[derive(Debug)]
pub struct BuildFolder {
    /// The folder; named like the repository, so that `${localWorkspaceFolderBasename}` is true.
    pub folder: PathBuf,
    /// The configuration in it.
    pub config: PathBuf,
}

/// Writes the part of `config` that makes the image into a folder of its own, for a build from the files in
/// `clone`.
///
/// The image's metadata then carries features and base image only, so that hooks and everything else that is no layer
/// come from the clone at every start, and each hook runs once. It also keeps the CLI's lockfile out of the clone.
pub fn build_folder(
    below: &Path,
    clone: &Path,
    config: &DevcontainerConfig,
) -> Result<BuildFolder, String> {
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
    let paths = ClonePaths { clone, from: &from };
    match properties.get_mut("build").and_then(Value::as_object_mut) {
        Some(build) => paths.make_absolute(build, "dockerfile")?,
        None => paths.make_absolute(&mut properties, "dockerFile")?,
    }
    if has_features {
        // Local features are found beside the configuration, and may depend on each other.
        copy_tree(&clone.join(".devcontainer"), &folder.join(".devcontainer"))?;
    }
    for lockfile in ["devcontainer-lock.json", ".devcontainer-lock.json"] {
        if from.join(lockfile).is_file() {
            fs::copy(from.join(lockfile), to.join(lockfile)).map_err(at(&to))?;
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
    clone: &'a Path,
    from: &'a Path,
}

impl ClonePaths<'_> {
    /// Makes the Dockerfile's path and its context absolute. They must stay in the clone: a build could read any file
    /// of the node otherwise.
    fn make_absolute(
        &self,
        object: &mut Map<String, Value>,
        dockerfile: &str,
    ) -> Result<(), String> {
        let Some(file) = object.get(dockerfile).and_then(Value::as_str) else {
            return Ok(());
        };
        let file = self.inside(file, dockerfile)?;
        // As the CLI does: without a context it is the Dockerfile's folder.
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
        let real = full
            .canonicalize()
            .map_err(|error| format!("{property} {path:?}: {error}"))?;
        let root = self.clone.canonicalize().map_err(at(self.clone))?;
        if real.starts_with(&root) {
            Ok(full)
        } else {
            Err(format!("{property} {path:?} leads out of the repository"))
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

fn copy_tree(from: &Path, to: &Path) -> Result<(), String> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(|error| error.to_string())?;
        let relative = entry.path().strip_prefix(from).unwrap_or(entry.path());
        let target = to.join(relative);
        let kind = entry.file_type();
        let copied = if kind.is_dir() {
            fs::create_dir_all(&target)
        } else if kind.is_symlink() {
            fs::read_link(entry.path()).and_then(|link| std::os::unix::fs::symlink(link, &target))
        } else {
            fs::copy(entry.path(), &target).map(|_| ())
        };
        copied.map_err(at(&target))?;
    }
    Ok(())
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

fn at(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
#[path = "build_folder_tests.rs"]
mod tests;
