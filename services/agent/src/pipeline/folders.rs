use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Component, Path, PathBuf},
};

use hearth_api::v1::{AttemptRef, Failure};
use serde_json::{Map, Value, json};
use tokio::net::UnixListener;

use super::Clone;
use crate::{
    config::DevcontainerConfig,
    credentials::{DOCKER_HELPER, DOCKER_HELPER_NAME, bind, write_helper},
    parties::volume_name,
};

/// Properties that make the image. All others belong to the container, and come from the clone at every start.
const IMAGE_PROPERTIES: [&str; 6] = [
    "image",
    "dockerFile",
    "context",
    "build",
    "features",
    "overrideFeatureInstallOrder",
];
/// Properties that features' install scripts see, and that reach layers only through them.
const FEATURE_PROPERTIES: [&str; 3] = ["remoteUser", "containerUser", "containerEnv"];
const HOOKS: [&str; 6] = [
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
];
const COMPOSE_PROPERTIES: [&str; 3] = ["dockerComposeFile", "service", "runServices"];

/// In an attempt's folder: programs that its commands find before others.
pub const HELPERS: &str = "bin";
/// In an attempt's folder: where the credential helper asks.
pub const SOCKET: &str = "credentials.sock";

/// Private folder of an attempt (0700): the home, temporary files, Docker configuration and credential helper of its
/// commands. There is no secret in it, and it is removed when the attempt ends.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder below `attempts`; docker asks the credential helper for a login to `registry`. What an earlier
    /// life of the agent left there is removed.
    pub fn create(
        attempts: &Path,
        attempt: &AttemptRef,
        registry: Option<&str>,
    ) -> io::Result<Self> {
        let path = attempts.join(format!("{}-{}", attempt.workspace_id, attempt.attempt));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        let scratch = Self(path);
        for part in ["home", "tmp", "docker", "build", HELPERS] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(scratch.0.join(part))?;
        }
        write_helper(&scratch.0.join(HELPERS).join(DOCKER_HELPER_NAME))?;
        scratch.write_docker_config(registry)?;
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the socket that the credential helper asks at.
    pub fn open_socket(&self) -> io::Result<UnixListener> {
        bind(&self.0, SOCKET)
    }

    /// Docker's plugins (buildx, compose) are found through the agent's own configuration; the login through this one.
    fn write_docker_config(&self, registry: Option<&str>) -> io::Result<()> {
        let mut config = Map::new();
        let agents = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let plugins = agents.map(|dir| dir.join("cli-plugins"));
        if let Some(plugins) = plugins.filter(|dir| dir.is_dir()) {
            config.insert("cliPluginsExtraDirs".to_owned(), json!([plugins]));
        }
        if let Some(registry) = registry {
            config.insert("credHelpers".to_owned(), json!({ registry: DOCKER_HELPER }));
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.0.join("docker/config.json"))?;
        io::Write::write_all(&mut file, Value::Object(config).to_string().as_bytes())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "an attempt's folder stays behind");
        }
    }
}

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
    fs::create_dir_all(&to).map_err(told(&to))?;

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
    let place = Places { clone, from: &from };
    match properties.get_mut("build").and_then(Value::as_object_mut) {
        Some(build) => place.make_absolute(build, "dockerfile")?,
        None => place.make_absolute(&mut properties, "dockerFile")?,
    }
    if has_features {
        // Local features are found beside the configuration, and may depend on each other.
        copy_tree(&clone.join(".devcontainer"), &folder.join(".devcontainer"))?;
    }
    for lockfile in ["devcontainer-lock.json", ".devcontainer-lock.json"] {
        if from.join(lockfile).is_file() {
            fs::copy(from.join(lockfile), to.join(lockfile)).map_err(told(&to))?;
        }
    }
    let mut properties = Value::Object(properties);
    replace_text(
        &mut properties,
        "${localWorkspaceFolder}",
        &clone.to_string_lossy(),
    );
    fs::write(&file, properties.to_string()).map_err(told(&file))?;
    Ok(BuildFolder {
        folder,
        config: file,
    })
}

struct Places<'a> {
    clone: &'a Path,
    from: &'a Path,
}

impl Places<'_> {
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
        let root = self.clone.canonicalize().map_err(told(self.clone))?;
        if real.starts_with(&root) {
            Ok(full)
        } else {
            Err(format!("{property} {path:?} leads out of the repository"))
        }
    }
}

/// The configuration for `up`: what the repository says of the container, on an image that is there already.
pub fn override_config(
    clone: &Clone,
    workspace_id: &str,
    config: Option<&DevcontainerConfig>,
    image: &str,
) -> Map<String, Value> {
    let mut properties = config
        .map(|config| config.properties.clone())
        .unwrap_or_default();
    for name in IMAGE_PROPERTIES.iter().chain(&COMPOSE_PROPERTIES) {
        properties.remove(*name);
    }
    properties.insert("image".to_owned(), json!(image));
    if !properties.contains_key("workspaceMount") {
        let mount = format!(
            "source={},target=/workspaces,type=volume",
            volume_name(workspace_id)
        );
        properties.insert("workspaceMount".to_owned(), json!(mount));
    }
    // The CLI ignores a workspaceMount without a workspaceFolder.
    if !properties.contains_key("workspaceFolder") {
        let name = clone
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        properties.insert(
            "workspaceFolder".to_owned(),
            json!(format!("/workspaces/{name}")),
        );
    }
    properties
}

/// The repository's configuration without its hooks, for a container whose metadata has them.
pub fn hookless_config(config: Option<&DevcontainerConfig>) -> Map<String, Value> {
    let mut properties = config
        .map(|config| config.properties.clone())
        .unwrap_or_default();
    for hook in HOOKS {
        properties.remove(hook);
    }
    properties
}

/// Leaves in the volume why the repository's own devcontainer does not run.
pub fn leave_note(clone: &Clone, failure: &Failure) {
    let text = format!("{}\n\n{}\n", failure.message, failure.output_tail);
    let path = clone.volume.join("hearth-recovery.txt");
    if let Err(error) = fs::write(&path, text) {
        tracing::warn!(path = %path.display(), %error, "no note of the failure is left in the workspace");
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
        copied.map_err(told(&target))?;
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

fn told(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
#[path = "folders_tests.rs"]
mod tests;
