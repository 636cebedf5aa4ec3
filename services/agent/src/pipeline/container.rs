use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use hearth_api::v1::{ContainerStarted, Failure, FailureReason, PipelineStep, event::Kind};
use hearth_runtime::blocking;
use serde_json::{Map, Value, json};

use super::{
    beside::Beside,
    compose,
    context::{Checkout, Context},
    failure::{failure, process_failure, with_cause},
    git_mount,
    hook_runner::HookRunner,
    hooks::Hooks,
    override_config::{hookless_config, override_config},
    owner::remote_user,
};
use crate::{
    clone_files::Owner,
    credentials::GitRemote,
    devcontainer::{DevcontainerConfig, Source},
    door::denied_source,
    external::{
        devcontainer::{SshOfBuild, Started, UpRequest, default_config_path},
        engine::EngineFailure,
        process::ProcessFailure,
    },
};

const STEP: PipelineStep = PipelineStep::Container;
const PASSWD: &str = "/etc/passwd";

/// What the container is made from.
#[derive(Debug)]
pub enum Devcontainer {
    /// An image that the engine has.
    Image(String),
    /// The repository's Docker Compose project.
    Compose,
}

/// A container that runs.
pub struct Running<'a> {
    /// Why a hook failed that the workspace waits for.
    pub failure: Option<Failure>,
    /// The hooks that are left.
    pub later: Beside<'a, ()>,
    /// The container.
    pub started: Started,
}

/// Starts the container and runs the hooks that the workspace waits for. A container whose hook fails is kept: its tools
/// are what the configuration is repaired with.
pub async fn start<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    from: &Devcontainer,
) -> Result<Running<'a>, Failure> {
    cx.recorder
        .step(STEP, "starts the container", async {
            let (hooks, runner) = cx.within_limit(run(cx, clone, config, from)).await?;
            let blocking = hooks.blocking();
            let ran = if blocking.is_empty() {
                Ok(())
            } else {
                runner.run_blocking(cx, &blocking).await
            };
            let started = runner.started.clone();
            let later = hooks.later();
            let later = if ran.is_ok() && !later.is_empty() {
                Beside::new(runner.run_later(cx, later))
            } else {
                Beside::default()
            };
            Ok(Running {
                failure: ran.err(),
                later,
                started,
            })
        })
        .await
}

/// Runs the container, and tells which hooks are to be run in it.
async fn run(
    cx: &Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    from: &Devcontainer,
) -> Result<(Hooks, HookRunner), Failure> {
    // The CLI would go on with the container of a failed try instead of creating one.
    let workspace = &cx.job.attempt.workspace;
    let removed = cx.externals.engine.remove_containers(workspace).await;
    removed.map_err(engine_failure)?;
    let (started, metadata) = match from {
        Devcontainer::Image(image) => from_image(cx, clone, config, image).await?,
        Devcontainer::Compose => (from_compose(cx, clone, config).await?, Vec::new()),
    };
    let hookless = cx.scratch.path().join("hookless.json");
    write(&hookless, hookless_config(config, &started.remote_folder)).await?;
    cx.recorder.note(Kind::Container(ContainerStarted {
        container_id: started.container_id.clone(),
        remote_user: started.remote_user.clone(),
        remote_folder: started.remote_folder.clone(),
    }));
    let folder = empty_folder(cx, clone).await?;
    let runner = HookRunner {
        config: config_path(&folder, config),
        folder,
        hookless,
        started,
    };
    let properties = config.map(|config| config.container.whole());
    Ok((Hooks::of(properties.as_ref(), &metadata), runner))
}

/// Starts a container of an image; returns the image's metadata as well.
async fn from_image(
    cx: &Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    image: &str,
) -> Result<(Started, Vec<Value>), Failure> {
    let engine = &cx.externals.engine;
    let local = engine
        .image(image)
        .await
        .map_err(engine_failure)?
        .unwrap_or_default();
    let user = remote_user(config, &local);
    if !is_root(&user) {
        let passwd = engine
            .file_of_image(&cx.job.attempt.workspace, image, PASSWD)
            .await
            .map_err(engine_failure)?;
        let owner = owner(cx, &user, passwd);
        let volume = clone.volume.clone();
        blocking(move || volume.give_to(owner))
            .await
            .map_err(|error| not_given(&user, &error))?;
    }
    if let Some(mount) = config.and_then(|config| foreign_mount(config, &clone.folder)) {
        cx.recorder.warn(format!(
            "the clone is not in the container: the configuration's workspaceMount ({mount}) takes its place"
        ));
    }
    let mut properties = override_config(
        cx.job.spec.repository.name(),
        &cx.job.attempt.workspace,
        config,
        image,
    );
    if let Some((folder, remote)) = git(cx) {
        git_mount::into_container(&mut properties, folder, &remote, &local);
    }
    let file = cx.scratch.path().join("override.json");
    write(&file, properties).await?;
    let metadata = local.metadata();
    let fault = metadata.fault(image);
    if let Some(fault) = &fault {
        cx.recorder.warn(fault);
    }
    let started = up(cx, clone, config, &file).await;
    let started = started.map_err(|failure| with_cause(failure, fault.as_deref()))?;
    Ok((started, metadata.entries))
}

/// The configuration's own mount for the workspace, if it is not one of the clone.
fn foreign_mount<'a>(config: &'a DevcontainerConfig, clone: &Path) -> Option<&'a str> {
    let mount = config.container.text("workspaceMount")?;
    let names_clone =
        mount.contains("${localWorkspaceFolder}") || mount.contains(&*clone.to_string_lossy());
    (!names_clone).then_some(mount)
}

/// The files of a Compose project are used unchanged, but for the names of what they build: they mount the clone from the
/// volume's folder on the node. The user that the clone must belong to is known only when the container exists.
async fn from_compose(
    cx: &Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
) -> Result<Started, Failure> {
    let file = cx.scratch.path().join("override.json");
    let mut properties = config
        .map(|config| config.container.whole())
        .unwrap_or_default();
    let source = config.map(|config| &config.source);
    if let (Some((folder, remote)), Some(Source::Compose(files))) = (git(cx), source) {
        let (clone, files) = (clone.files.clone(), files.clone());
        let has_settings = blocking(move || git_mount::compose_has_settings(&clone, &files)).await;
        git_mount::into_service(&mut properties, folder, &remote, has_settings);
    }
    if let (Some(config), Some(Source::Compose(named))) = (config, source) {
        let (of_clone, named) = (clone.files.clone(), named.clone());
        let files = blocking(move || compose::files(&of_clone, &named)).await;
        let files: Vec<_> = files.iter().map(|file| clone.folder.join(file)).collect();
        let path = clone.folder.join(&config.path);
        let (project, without_ssh) = cx
            .externals
            .devcontainer
            .compose_project(&cx.cli_workspace(&clone.folder, &path), &files)
            .await
            .map_err(|child| child.without_folders(&[&clone.folder, cx.scratch.path()]))
            .map_err(up_failure)?;
        for service in &without_ssh {
            cx.recorder.warn(SshOfBuild(service).to_string());
        }
        let project = compose::judged(cx, clone, &project)
            .map_err(|error| failure(FailureReason::ContainerFailed, STEP, error))?;
        let own = cx.scratch.path().join("compose.json");
        write_text(&own, project).await?;
        properties.insert("dockerComposeFile".to_owned(), json!([own]));
    }
    write(&file, properties).await?;
    let started = up(cx, clone, config, &file).await?;
    if !is_root(&started.remote_user) {
        let passwd = cx
            .externals
            .engine
            .file_of_container(&started.container_id, PASSWD)
            .await
            .map_err(engine_failure)?;
        let owner = owner(cx, &started.remote_user, passwd);
        let workspace = &cx.job.attempt.workspace;
        cx.externals
            .engine
            .give_volume(workspace, &started.container_id, owner)
            .await
            .map_err(|error| not_given(&started.remote_user, &error))?;
    }
    Ok(started)
}

async fn up(
    cx: &Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    override_config: &Path,
) -> Result<Started, Failure> {
    // `runArgs` may name files by paths in the clone. The default image comes after a container that may have failed.
    let folder = match config {
        Some(_) => clone.folder.clone(),
        None => empty_folder(cx, clone).await?,
    };
    let config = config_path(&folder, config);
    let request = UpRequest {
        workspace: cx.cli_workspace(&folder, &config),
        override_config,
    };
    let mut output = cx.recorder.output(STEP);
    cx.externals
        .devcontainer
        .up(&request, &mut |line| output.take(line))
        .await
        .map_err(|child| child.without_folders(&[&clone.folder, cx.scratch.path()]))
        .map_err(up_failure)
}

/// A folder named like the clone, for a CLI that only needs a name: it must not read the clone once a container can write
/// to it.
async fn empty_folder(cx: &Context<'_>, clone: &Checkout) -> Result<PathBuf, Failure> {
    let name = clone.folder.file_name().unwrap_or_default();
    let folder = cx.scratch.path().join("empty").join(name);
    tokio::fs::create_dir_all(&folder)
        .await
        .map_err(|error| failure(FailureReason::Internal, STEP, error))?;
    Ok(folder)
}

async fn write(file: &Path, properties: Map<String, Value>) -> Result<(), Failure> {
    write_text(file, Value::Object(properties).to_string()).await
}

async fn write_text(file: &Path, text: String) -> Result<(), Failure> {
    tokio::fs::write(file, text)
        .await
        .map_err(|error| failure(FailureReason::Internal, STEP, error))
}

/// User and group of the clone.
fn owner(cx: &Context<'_>, user: &str, passwd: Option<Vec<u8>>) -> Owner {
    let passwd = String::from_utf8_lossy(&passwd.unwrap_or_default()).into_owned();
    Owner::find(user, &passwd).unwrap_or_else(|| {
        cx.recorder.warn(format!(
            "the image has no user {user:?}: the clone belongs to root, and hooks may not be able to write"
        ));
        Owner::ROOT
    })
}

fn not_given(user: &str, error: &dyn Display) -> Failure {
    let message = format!("the clone cannot be given to {user}: {error}");
    failure(FailureReason::Internal, STEP, message)
}

/// The folder through which git in the container gets logins, and the repository that they are for.
fn git<'a>(cx: &Context<'a>) -> Option<(&'a Path, GitRemote)> {
    cx.git_access.zip(GitRemote::of(&cx.job.spec.repository))
}

fn config_path(folder: &Path, config: Option<&DevcontainerConfig>) -> PathBuf {
    match config {
        Some(config) => folder.join(&config.path),
        None => default_config_path(folder),
    }
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), Some("root" | "0" | ""))
}

fn engine_failure(error: EngineFailure) -> Failure {
    failure(FailureReason::EngineFailed, STEP, error)
}

fn up_failure(child: ProcessFailure) -> Failure {
    let denied = denied_source(&child.message).or_else(|| denied_source(&child.tail));
    let why = denied.as_ref().unwrap_or(&child.message);
    let message = format!("the container cannot be started: {why}");
    process_failure(FailureReason::ContainerFailed, STEP, message, &child)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devcontainer::Place;

    #[test]
    fn a_mount_that_takes_the_clones_place_is_told() {
        let clone = Path::new("/volume/app");
        let foreign = |mount: &str| {
            let place = Place {
                clone,
                default_image: "default:1",
            };
            let text = format!(
                r#"{{"image": "a", "workspaceFolder": "/a", "workspaceMount": "{mount}"}}"#
            );
            let config =
                DevcontainerConfig::parse(place, Path::new(".devcontainer.json"), &text).unwrap();
            foreign_mount(&config, clone).is_some()
        };
        assert!(foreign("type=volume,source=data,target=/a"));
        assert!(!foreign(
            "type=bind,source=${localWorkspaceFolder},target=/a"
        ));
        assert!(!foreign(
            "type=bind,source=${localWorkspaceFolder}/..,target=/a"
        ));
        assert!(!foreign(""));
    }
}
