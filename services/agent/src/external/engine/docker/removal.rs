//! Removal of what a workspace has on the engine.

use std::{collections::BTreeSet, future::Future, path::PathBuf};

use bollard::{
    Docker,
    errors::Error,
    query_parameters::{
        ListContainersOptionsBuilder, ListImagesOptions, ListNetworksOptionsBuilder,
        ListVolumesOptionsBuilder, RemoveImageOptions, RemoveVolumeOptionsBuilder,
    },
};
use hearth_domain::WorkspaceId;
use hearth_runtime::blocking;

use super::{
    container,
    error::{absent_is_fine, failed},
};
use crate::{
    clone_files::remove_folder,
    external::engine::api::{EngineFailure, WORKSPACE_LABEL, volume_name},
};

pub(super) const COMPOSE_LABEL: &str = "com.docker.compose.project";
/// What the devcontainer CLI calls images that it builds for Compose; a digest of the clone's folder follows.
const CLI_IMAGE: &str = "vsc-";

/// The labels of what a workspace has. Compose's is on what an agent made that gave no label of its own.
fn labels(workspace: &WorkspaceId) -> [String; 2] {
    [
        format!("{WORKSPACE_LABEL}={workspace}"),
        format!("{COMPOSE_LABEL}={}", volume_name(workspace)),
    ]
}

/// What stopped a removal first. Everything else is removed all the same.
#[derive(Default)]
struct Removal {
    failure: Option<EngineFailure>,
    /// Whether the engine did not answer: then nothing more is asked of it.
    is_silent: bool,
}

impl Removal {
    /// Notes how something went.
    fn note(&mut self, action: &'static str, result: Result<(), Error>) {
        if let Err(error) = absent_is_fine(result) {
            self.is_silent |= matches!(error, Error::RequestTimeoutError);
            let failure = failed(action)(error);
            tracing::warn!("{failure}");
            self.failure.get_or_insert(failure);
        }
    }

    /// Notes a list that could not be had, as an empty one.
    async fn list<T>(
        &mut self,
        action: &'static str,
        list: impl Future<Output = Result<Vec<T>, Error>>,
    ) -> Vec<T> {
        if self.is_silent {
            return Vec::new();
        }
        list.await.unwrap_or_else(|error| {
            self.note(action, Err(error));
            Vec::new()
        })
    }
}

/// Removes the containers of a workspace.
pub(super) async fn containers(
    docker: &Docker,
    workspace: &WorkspaceId,
) -> Result<(), EngineFailure> {
    let mut removal = Removal::default();
    remove_containers(docker, workspace, &mut removal).await;
    removal.failure.map_or(Ok(()), Err)
}

/// Removes containers, networks, volumes and images of a workspace, with what Compose made.
pub(super) async fn everything(
    docker: &Docker,
    workspace: &WorkspaceId,
) -> Result<(), EngineFailure> {
    let mut removal = Removal::default();
    let images = remove_containers(docker, workspace, &mut removal).await;
    for label in labels(workspace) {
        let options = ListNetworksOptionsBuilder::default()
            .filters(&container::by_label(&label))
            .build();
        let list = docker.list_networks(Some(options));
        for network in removal.list("list the workspace's networks", list).await {
            let removed = docker.remove_network(&network.id.unwrap_or_default()).await;
            removal.note("remove the workspace's network", removed);
        }
    }
    let mut volumes = BTreeSet::from([volume_name(workspace)]);
    for label in labels(workspace) {
        let options = ListVolumesOptionsBuilder::default()
            .filters(&container::by_label(&label))
            .build();
        let list = async {
            let found = docker.list_volumes(Some(options)).await?;
            Ok(found.volumes.unwrap_or_default())
        };
        let found = removal.list("list the workspace's volumes", list).await;
        volumes.extend(found.into_iter().map(|volume| volume.name));
    }
    if removal.is_silent {
        return removal.failure.map_or(Ok(()), Err);
    }
    for volume in volumes {
        if removal.failure.is_none() {
            empty(docker, &volume).await;
        }
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        let removed = docker.remove_volume(&volume, Some(options)).await;
        removal.note("remove the workspace's volume", removed);
    }
    let list = docker.list_images(None::<ListImagesOptions>);
    let all = removal.list("list its images", list).await;
    let names = all.into_iter().flat_map(|image| image.repo_tags);
    for name in names.filter(|name| images.contains(name) || is_image_of(name, workspace)) {
        let removed = docker
            .remove_image(&name, None::<RemoveImageOptions>, None)
            .await;
        // Another container may run on it; a name that is left costs no more than disk.
        if let Err(error) = absent_is_fine(removed.map(|_| ())) {
            tracing::warn!(workspace.id = %workspace, image = name, %error, "an image of a workspace was not removed");
        }
    }
    removal.failure.map_or(Ok(()), Err)
}

/// Removes what is in a volume that no container uses any more. The engine opens all folders of a path at once, and fails at
/// one that is very deep.
async fn empty(docker: &Docker, volume: &str) {
    let Ok(found) = docker.inspect_volume(volume).await else {
        return;
    };
    // With options it can be a folder from elsewhere.
    if found.driver != "local" || !found.options.is_empty() {
        return;
    }
    let folder = PathBuf::from(found.mountpoint);
    if let Err(error) = blocking(move || remove_folder(&folder)).await {
        tracing::warn!(volume, %error, "the files of a volume are left to the engine");
    }
}

/// Removes the containers; returns the names of the images that the devcontainer CLI built for them.
async fn remove_containers(
    docker: &Docker,
    workspace: &WorkspaceId,
    removal: &mut Removal,
) -> BTreeSet<String> {
    let mut images = BTreeSet::new();
    for label in labels(workspace) {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&container::by_label(&label))
            .build();
        let list = docker.list_containers(Some(options));
        for found in removal.list("list the workspace's containers", list).await {
            let image = found.image.unwrap_or_default();
            if image.starts_with(CLI_IMAGE) {
                // The engine's list of images has the tag.
                images.insert(if image.contains(':') {
                    image
                } else {
                    format!("{image}:latest")
                });
            }
            let removed = container::remove(docker, &found.id.unwrap_or_default()).await;
            removal.note("remove the workspace's container", removed);
        }
    }
    images
}

/// Whether an image has a name of the workspace's: its own builds, and those of its Compose project.
fn is_image_of(name: &str, workspace: &WorkspaceId) -> bool {
    let rest = name.strip_prefix(&volume_name(workspace));
    rest.is_some_and(|rest| rest.starts_with([':', '-', '_', '.']) && !rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_only_a_workspace_uses_are_known_by_their_names() {
        let workspace = "ws-1".parse().unwrap();
        for (name, own) in [
            ("hearth-ws-1:2", true),
            ("hearth-ws-1-app:latest", true),
            ("hearth-ws-1_app:latest", true),
            ("hearth-ws-1.app:latest", true),
            ("hearth-ws-12:1", false),
            ("hearth-ws-1-registry:5000/a:b", false),
            ("hearth-cache:aa", false),
            ("debian:12", false),
        ] {
            assert_eq!(is_image_of(name, &workspace), own, "{name}");
        }
    }
}
