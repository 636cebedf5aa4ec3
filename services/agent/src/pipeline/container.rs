use std::{fmt::Display, path::Path};

use hearth_api::v1::{ContainerStarted, Failure, FailureReason, PipelineStep, event::Kind};
use hearth_runtime::blocking;
use serde_json::{Map, Value, json};

use super::{
    beside::Beside,
    context::{Checkout, Context},
    failure::{failure, with_cause},
    git_mount,
    hook_runner::{self, HookRunner},
    hooks::Hooks,
    override_config::{hookless_config, override_config},
    owner::remote_user,
    up::{Up, config_path, empty_folder, folder_name},
};
use crate::{
    clone_files::Owner,
    credentials::GitRemote,
    devcontainer::{DevcontainerConfig, Source},
    external::{devcontainer::Started, engine::EngineFailure},
};

const STEP: PipelineStep = PipelineStep::Container;
const PASSWD: &str = "/etc/passwd";

/// What the container is made from.
#[derive(Debug)]
pub enum Devcontainer {
    /// An image that the engine has.
    Image(String),
    /// The repository's Docker Compose project.
    Compose {
        /// What Compose starts.
        project: String,
        /// The image of the devcontainer's own service, if the engine has it.
        image: Option<String>,
    },
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
    up: Up<'_>,
) -> Result<Running<'a>, Failure> {
    cx.recorder
        .step(STEP, "starts the container", async {
            let (hooks, mut runner) = cx.within_limit(run(cx, clone, config, from, up)).await?;
            let blocking = hooks.blocking();
            if !(blocking.is_empty() && hooks.later().is_empty()) {
                runner.stand_ins = hook_runner::stand_ins(cx).await?;
            }
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
    mut up: Up<'_>,
) -> Result<(Hooks, HookRunner), Failure> {
    // What is found out for its configuration takes about as long as the CLI's start.
    let made = up.alongside(Box::pin(async {
        // The CLI would go on with the container of a failed try instead of creating one.
        let workspace = &cx.job.attempt.workspace;
        let removed = cx.externals.engine.remove_containers(workspace).await;
        removed.map_err(engine_failure)?;
        match from {
            Devcontainer::Image(image) => on_image(cx, clone, config, image).await,
            Devcontainer::Compose { project, image } => {
                of_compose(cx, clone, config, project, image.as_deref()).await
            }
        }
    }));
    let Made {
        properties,
        metadata,
        fault,
    } = made.await?;
    let started = up.with(properties).await;
    let started = started.map_err(|failure| with_cause(failure, fault.as_deref()))?;
    if let Devcontainer::Compose { .. } = from {
        give_to_user(cx, &started).await?;
    }
    let hookless = cx.scratch.path().join("hookless.json");
    write(&hookless, hookless_config(config, &started.remote_folder)).await?;
    cx.recorder.note(Kind::Container(ContainerStarted {
        container_id: started.container_id.clone(),
        remote_user: started.remote_user.clone(),
        remote_folder: started.remote_folder.clone(),
    }));
    let folder = empty_folder(cx, folder_name(clone)).await?;
    let runner = HookRunner {
        config: config_path(&folder, config),
        folder,
        hookless,
        started,
        stand_ins: None,
    };
    let properties = config.map(|config| config.container.whole());
    Ok((Hooks::of(properties.as_ref(), &metadata), runner))
}

/// What a container is started with.
struct Made {
    properties: Map<String, Value>,
    /// The image's metadata, and what is wrong with it.
    metadata: Vec<Value>,
    fault: Option<String>,
}

/// The properties of a container of an image. The clone is given to its user.
async fn on_image(
    cx: &Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    image: &str,
) -> Result<Made, Failure> {
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
    let mut properties = override_config(&clone.folder, config, image);
    if let Some((folder, remote)) = git(cx) {
        git_mount::into_container(&mut properties, folder, &remote, &local);
    }
    let metadata = local.metadata();
    let fault = metadata.fault(image);
    if let Some(fault) = &fault {
        cx.recorder.warn(fault);
    }
    Ok(Made {
        properties,
        metadata: metadata.entries,
        fault,
    })
}

/// The configuration's own mount for the workspace, if it is not one of the clone.
fn foreign_mount<'a>(config: &'a DevcontainerConfig, clone: &Path) -> Option<&'a str> {
    let mount = config.container.text("workspaceMount")?;
    let names_clone =
        mount.contains("${localWorkspaceFolder}") || mount.contains(&*clone.to_string_lossy());
    (!names_clone).then_some(mount)
}

/// The properties of a project: it mounts the clone from the volume's folder on the node.
async fn of_compose(
    cx: &Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    project: &str,
    image: Option<&str>,
) -> Result<Made, Failure> {
    let mut properties = config
        .map(|config| config.container.whole())
        .unwrap_or_default();
    let source = config.map(|config| &config.source);
    if let (Some((folder, remote)), Some(Source::Compose(compose))) = (git(cx), source) {
        let (clone, files) = (clone.files.clone(), compose.files.clone());
        let has_settings = blocking(move || git_mount::compose_has_settings(&clone, &files)).await;
        git_mount::into_service(&mut properties, folder, &remote, has_settings);
    }
    let own = cx.scratch.path().join("compose.json");
    write_text(&own, project.to_owned()).await?;
    properties.insert("dockerComposeFile".to_owned(), json!([own]));
    let Some(image) = image else {
        return Ok(Made {
            properties,
            metadata: Vec::new(),
            fault: None,
        });
    };
    let engine = &cx.externals.engine;
    let local = engine.image(image).await.map_err(engine_failure)?;
    let metadata = local.unwrap_or_default().metadata();
    let fault = metadata.fault(image);
    if let Some(fault) = &fault {
        cx.recorder.warn(fault);
    }
    Ok(Made {
        properties,
        metadata: metadata.entries,
        fault,
    })
}

/// Gives the clone to the user of a Compose project's container, which is known only when that exists.
async fn give_to_user(cx: &Context<'_>, started: &Started) -> Result<(), Failure> {
    if is_root(&started.remote_user) {
        return Ok(());
    }
    let engine = &cx.externals.engine;
    let passwd = engine
        .file_of_container(&started.container_id, PASSWD)
        .await
        .map_err(engine_failure)?;
    let owner = owner(cx, &started.remote_user, passwd);
    let workspace = &cx.job.attempt.workspace;
    engine
        .give_volume(workspace, &started.container_id, owner)
        .await
        .map_err(|error| not_given(&started.remote_user, &error))
}

/// Writes a configuration into the attempt's folder.
pub async fn write(file: &Path, properties: Map<String, Value>) -> Result<(), Failure> {
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

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), Some("root" | "0" | ""))
}

fn engine_failure(error: EngineFailure) -> Failure {
    failure(FailureReason::EngineFailed, STEP, error)
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
