//! The volumes of workspaces: which there are, and handing one over while its containers run.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerCreateBody, HostConfig, VolumeCreateRequest},
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, ListVolumesOptionsBuilder,
        StartContainerOptions, WaitContainerOptions,
    },
};
use futures_util::StreamExt as _;
use hearth_domain::WorkspaceId;
use hearth_runtime::blocking;

use super::{
    container::{self, HELPER, HELPER_PROGRAM},
    error::is_absent,
};
use crate::{
    clone_files::{Owner, remove_folder},
    external::engine::api::{EngineFailure, WORKSPACE_LABEL, volume_name},
};

const VOLUME: &str = "/hearth-volume";

/// Makes the folder of a workspace's clone in `clones`, in place of one that was left there.
pub(super) async fn folder(
    clones: Option<&Path>,
    workspace: &WorkspaceId,
) -> Result<Option<PathBuf>, EngineFailure> {
    let Some(folder) = clones.map(|clones| clones.join(workspace.as_str())) else {
        return Ok(None);
    };
    remove_folder_of(clones, workspace).await?;
    let made = folder.clone();
    let made = blocking(move || fs::create_dir_all(&made)).await;
    made.map_err(|error| of_folder("make the workspace's folder", &folder, &error))?;
    Ok(Some(folder))
}

/// Removes that folder, if there is one.
pub(super) async fn remove_folder_of(
    clones: Option<&Path>,
    workspace: &WorkspaceId,
) -> Result<(), EngineFailure> {
    let Some(folder) = clones.map(|clones| clones.join(workspace.as_str())) else {
        return Ok(());
    };
    let of = folder.clone();
    match blocking(move || remove_folder(&of)).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(of_folder("remove the workspace's folder", &folder, &error))
        }
        _ => Ok(()),
    }
}

fn of_folder(action: &'static str, folder: &Path, error: &io::Error) -> EngineFailure {
    EngineFailure {
        action,
        cause: format!("{}: {error}", folder.display()),
    }
}

/// Makes the volume of a workspace, of this folder if there is one. Returns where its files are on the node. A folder is mounted
/// as a volume, so that its workspace is found, judged and removed like all others.
pub(super) async fn create(
    docker: &Docker,
    workspace: &WorkspaceId,
    folder: Option<PathBuf>,
) -> Result<PathBuf, Error> {
    let options = folder.as_ref().map(|folder| {
        let device = folder.to_string_lossy().into_owned();
        let options = [("type", "none"), ("o", "bind"), ("device", &*device)];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        HashMap::from(options)
    });
    let request = VolumeCreateRequest {
        name: Some(volume_name(workspace)),
        labels: Some(container::labels(workspace)),
        driver_opts: options,
        ..VolumeCreateRequest::default()
    };
    let volume = docker.create_volume(request).await?;
    Ok(folder.unwrap_or_else(|| volume.mountpoint.into()))
}

/// Where the files of a workspace's volume are, that [`create`] has made. `None`: there is none, or another one has its name.
pub(super) async fn found(
    docker: &Docker,
    clones: Option<&Path>,
    workspace: &WorkspaceId,
) -> Result<Option<PathBuf>, Error> {
    let found = match docker.inspect_volume(&volume_name(workspace)).await {
        Err(error) if is_absent(&error) => return Ok(None),
        found => found?,
    };
    let label = found.labels.get(WORKSPACE_LABEL).map(String::as_str);
    if found.driver != "local" || label != Some(workspace.as_str()) {
        return Ok(None);
    }
    // With options it can be a folder from elsewhere.
    let device = found.options.get("device").map(PathBuf::from);
    let own = clones.map(|clones| clones.join(workspace.as_str()));
    Ok(match device {
        None if found.options.is_empty() => Some(found.mountpoint.into()),
        device => device.filter(|device| own.as_ref() == Some(device)),
    })
}

/// The workspaces that have a volume.
pub(super) async fn workspaces(docker: &Docker) -> Result<Vec<WorkspaceId>, Error> {
    let filters = HashMap::from([("label".to_owned(), vec![WORKSPACE_LABEL.to_owned()])]);
    let options = ListVolumesOptionsBuilder::default()
        .filters(&filters)
        .build();
    let volumes = docker.list_volumes(Some(options)).await?.volumes;
    let ids = volumes
        .unwrap_or_default()
        .into_iter()
        .filter_map(|mut volume| {
            let id = volume.labels.remove(WORKSPACE_LABEL)?;
            id.parse()
                .inspect_err(|error| {
                    tracing::warn!(
                        volume = volume.name,
                        "the label {WORKSPACE_LABEL} of a volume {error}"
                    );
                })
                .ok()
        });
    Ok(ids.collect::<BTreeSet<_>>().into_iter().collect())
}

/// A service can put a link to anywhere in a folder's place meanwhile: in this container it leads to nothing but the image.
pub(super) async fn give(
    docker: &Docker,
    workspace: &WorkspaceId,
    of: &str,
    owner: Owner,
) -> Result<(), Error> {
    let of = docker
        .inspect_container(of, None::<InspectContainerOptions>)
        .await?;
    let body = body(workspace, of.image.unwrap_or_default(), owner);
    let id = docker
        .create_container(None::<CreateContainerOptions>, body)
        .await?
        .id;
    let given = run(docker, &id).await;
    container::remove(docker, &id).await?;
    given
}

fn body(workspace: &WorkspaceId, image: String, owner: Owner) -> ContainerCreateBody {
    ContainerCreateBody {
        entrypoint: Some(vec![format!("/{HELPER}")]),
        cmd: Some(vec![
            "give".to_owned(),
            owner.uid.to_string(),
            owner.gid.to_string(),
            VOLUME.to_owned(),
        ]),
        user: Some("0:0".to_owned()),
        host_config: Some(HostConfig {
            binds: Some(vec![format!("{}:{VOLUME}", volume_name(workspace))]),
            network_mode: Some("none".to_owned()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(vec!["CHOWN".to_owned(), "DAC_READ_SEARCH".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            ..HostConfig::default()
        }),
        ..container::helper(workspace, &image)
    }
}

async fn run(docker: &Docker, id: &str) -> Result<(), Error> {
    container::write(
        docker,
        id,
        "/",
        (HELPER, 0o755, Owner::ROOT),
        HELPER_PROGRAM,
    )
    .await?;
    docker
        .start_container(id, None::<StartContainerOptions>)
        .await?;
    let mut ended = docker.wait_container(id, None::<WaitContainerOptions>);
    match ended.next().await {
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(()),
    }
}
