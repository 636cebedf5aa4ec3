//! The volume of a workspace: made, found again, and handed over while its containers run.

use std::{collections::BTreeSet, path::PathBuf};

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

use super::{
    container::{self, HELPER, HELPER_PROGRAM},
    error::is_absent,
};
use crate::{
    clone_files::Owner,
    external::engine::api::{WORKSPACE_LABEL, volume_name},
};

const VOLUME: &str = "/hearth-volume";

/// Makes a volume; returns its folder on the node.
pub(super) async fn create(docker: &Docker, workspace: &WorkspaceId) -> Result<PathBuf, Error> {
    let request = VolumeCreateRequest {
        name: Some(volume_name(workspace)),
        labels: Some(container::labels(workspace)),
        ..VolumeCreateRequest::default()
    };
    Ok(docker.create_volume(request).await?.mountpoint.into())
}

/// The folder of the volume that [`create`] has made. `None`: there is none, or another one has its name.
pub(super) async fn folder(
    docker: &Docker,
    workspace: &WorkspaceId,
) -> Result<Option<PathBuf>, Error> {
    let found = match docker.inspect_volume(&volume_name(workspace)).await {
        Err(error) if is_absent(&error) => return Ok(None),
        found => found?,
    };
    let label = found.labels.get(WORKSPACE_LABEL).map(String::as_str);
    // With options it can be a folder from elsewhere.
    let is_own = found.driver == "local" && found.options.is_empty();
    let is_own = is_own && label == Some(workspace.as_str());
    Ok(is_own.then(|| found.mountpoint.into()))
}

/// The workspaces that have a volume.
pub(super) async fn workspaces(docker: &Docker) -> Result<Vec<WorkspaceId>, Error> {
    let options = ListVolumesOptionsBuilder::default()
        .filters(&container::by_label(WORKSPACE_LABEL))
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
