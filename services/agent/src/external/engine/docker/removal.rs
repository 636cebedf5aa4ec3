//! Removal of what a workspace has on the engine.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    path::PathBuf,
    time::Duration,
};

use bollard::{
    Docker,
    errors::Error,
    query_parameters::{
        ListContainersOptionsBuilder, ListImagesOptions, ListNetworksOptionsBuilder,
        ListVolumesOptionsBuilder, PruneBuildOptions, PruneBuildOptionsBuilder, RemoveImageOptions,
        RemoveVolumeOptionsBuilder,
    },
};
use futures_util::stream::{self, StreamExt as _};
use hearth_domain::WorkspaceId;
use hearth_runtime::blocking;
use parking_lot::Mutex;

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
pub(super) fn labels(workspace: &WorkspaceId) -> [String; 2] {
    [
        format!("{WORKSPACE_LABEL}={workspace}"),
        format!("{COMPOSE_LABEL}={}", volume_name(workspace)),
    ]
}

/// How long each request of a removal may take: a container whose process does not die holds its own for ever.
const LIMIT: Duration = Duration::from_secs(30);
/// How many things are removed side by side.
const AT_ONCE: usize = 64;

/// The removal of what a workspace has. What cannot be removed keeps nothing else from it.
struct Removal<'a> {
    docker: &'a Docker,
    socket: &'a str,
    workspace: &'a WorkspaceId,
    limit: Duration,
    /// What failed first.
    failure: Mutex<Option<EngineFailure>>,
}

/// What the containers of a workspace used.
#[derive(Default)]
struct Used {
    /// Names of the images that the devcontainer CLI built for them.
    images: BTreeSet<String>,
    /// Volumes of those that are still there.
    held: BTreeSet<String>,
}

/// Removes the containers of a workspace.
pub(super) async fn containers(
    docker: &Docker,
    socket: &str,
    workspace: &WorkspaceId,
) -> Result<(), EngineFailure> {
    let removal = Removal::new(docker, socket, workspace, LIMIT);
    // It is noted.
    let _ = removal.containers().await;
    removal.end()
}

/// Removes what [`everything`] does but for the volume of the clone, and images only if asked to.
pub(super) async fn but_the_volume(
    docker: &Docker,
    socket: &str,
    workspace: &WorkspaceId,
    images: bool,
) -> Result<(), EngineFailure> {
    let removal = Removal::new(docker, socket, workspace, LIMIT);
    if let Some(mut used) = removal.containers().await {
        used.held.insert(volume_name(workspace));
        tokio::join!(removal.networks(), removal.volumes(&used.held), async {
            if images {
                removal.images(&used.images).await;
            }
        });
    }
    removal.end()
}

/// Removes the images of a workspace that no container needs.
pub(super) async fn images(
    docker: &Docker,
    socket: &str,
    workspace: &WorkspaceId,
) -> Result<(), EngineFailure> {
    let removal = Removal::new(docker, socket, workspace, LIMIT);
    removal.images(&BTreeSet::new()).await;
    removal.end()
}

/// Removes containers, networks, volumes and images of a workspace, with what Compose made.
pub(super) async fn everything(
    docker: &Docker,
    socket: &str,
    workspace: &WorkspaceId,
) -> Result<(), EngineFailure> {
    let removal = Removal::new(docker, socket, workspace, LIMIT);
    removal.everything().await;
    removal.end()
}

impl<'a> Removal<'a> {
    fn new(
        docker: &'a Docker,
        socket: &'a str,
        workspace: &'a WorkspaceId,
        limit: Duration,
    ) -> Self {
        Self {
            docker,
            socket,
            workspace,
            limit,
            failure: Mutex::default(),
        }
    }

    fn end(self) -> Result<(), EngineFailure> {
        self.failure.into_inner().map_or(Ok(()), Err)
    }

    /// Waits for a request about `what`; its failure is noted.
    async fn request<T>(
        &self,
        action: &'static str,
        what: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        let failure = match tokio::time::timeout(self.limit, request).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => failed(self.socket, action)(error),
            Err(_) => EngineFailure {
                action,
                cause: format!("it has not done so within {} s", self.limit.as_secs()),
            },
        };
        tracing::warn!(workspace.id = %self.workspace, what, "{failure}");
        self.failure.lock().get_or_insert(failure);
        None
    }

    async fn everything(&self) {
        // An engine that gives no list is asked for nothing more.
        let Some(used) = self.containers().await else {
            return;
        };
        tokio::join!(
            self.networks(),
            self.volumes(&used.held),
            self.images(&used.images)
        );
    }

    /// Removes the containers. `None` if there is no list of them.
    async fn containers(&self) -> Option<Used> {
        let mut found = Vec::new();
        for label in labels(self.workspace) {
            let options = ListContainersOptionsBuilder::default()
                .all(true)
                .filters(&container::by_label(&label))
                .build();
            let list = self.docker.list_containers(Some(options));
            found.extend(
                self.request("list the workspace's containers", "", list)
                    .await?,
            );
        }
        let removals = found.into_iter().map(|found| async {
            let id = found.id.unwrap_or_default();
            let removal = container::remove(self.docker, &id);
            let removed = self.request("remove the workspace's container", &id, removal);
            let is_left = removed.await.is_none();
            let mounts = found.mounts.unwrap_or_default().into_iter();
            let volumes = mounts.filter_map(|mount| mount.name);
            let volumes = volumes.filter(|_| is_left).collect::<Vec<_>>();
            (found.image.unwrap_or_default(), volumes)
        });
        let mut removed = stream::iter(removals).buffer_unordered(AT_ONCE);
        let mut used = Used::default();
        while let Some((image, volumes)) = removed.next().await {
            used.held.extend(volumes);
            if image.starts_with(CLI_IMAGE) {
                // The engine's list of images has the tag.
                used.images.insert(if image.contains(':') {
                    image
                } else {
                    format!("{image}:latest")
                });
            }
        }
        Some(used)
    }

    async fn networks(&self) {
        let mut ids = BTreeSet::new();
        for label in labels(self.workspace) {
            let options = ListNetworksOptionsBuilder::default()
                .filters(&container::by_label(&label))
                .build();
            let list = self.docker.list_networks(Some(options));
            let list = self.request("list the workspace's networks", "", list);
            let found = list.await.unwrap_or_default().into_iter();
            ids.extend(found.filter_map(|network| network.id));
        }
        let removals = ids.into_iter().map(|id| async move {
            let removal = async { absent_is_fine(self.docker.remove_network(&id).await) };
            self.request("remove the workspace's network", &id, removal)
                .await
        });
        stream::iter(removals)
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
    }

    /// Removes the volumes, and leaves those that containers hold.
    async fn volumes(&self, held: &BTreeSet<String>) {
        let mut names = BTreeSet::from([volume_name(self.workspace)]);
        for label in labels(self.workspace) {
            let options = ListVolumesOptionsBuilder::default()
                .filters(&container::by_label(&label))
                .build();
            let list = self.docker.list_volumes(Some(options));
            let list = self.request("list the workspace's volumes", "", list);
            let found = list.await.and_then(|found| found.volumes);
            names.extend(
                found
                    .unwrap_or_default()
                    .into_iter()
                    .map(|found| found.name),
            );
        }
        for name in names.difference(held) {
            let folder = self.empty(name).await;
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            let removal =
                async { absent_is_fine(self.docker.remove_volume(name, Some(options)).await) };
            let removed = self
                .request("remove the workspace's volume", name, removal)
                .await;
            if let (Some(()), Some(folder)) = (removed, folder)
                && let Err(error) = blocking(move || remove_folder(&folder)).await
            {
                tracing::warn!(workspace.id = %self.workspace, %error, "the folder of a workspace was not removed");
            }
        }
    }

    /// Removes what is in a volume that no container uses any more. The engine opens all folders of a path at once, and fails
    /// at one that is very deep. Returns the folder that an agent has made for the volume, if it has: it is removed after it.
    async fn empty(&self, volume: &str) -> Option<PathBuf> {
        let inspected = self.docker.inspect_volume(volume);
        let Ok(Ok(found)) = tokio::time::timeout(self.limit, inspected).await else {
            return None;
        };
        // With options it can be a folder from elsewhere.
        if found.driver != "local" || !found.options.is_empty() {
            let own = volume == volume_name(self.workspace);
            let device = found.options.get("device").filter(|_| own);
            return device
                .map(PathBuf::from)
                .filter(|folder| folder.ends_with(self.workspace.as_str()));
        }
        let folder = PathBuf::from(found.mountpoint);
        if let Err(error) = blocking(move || remove_folder(&folder)).await {
            tracing::warn!(volume, %error, "the files of a volume are left to the engine");
        }
        None
    }

    /// Removes these images, and those with a name of the workspace's.
    async fn images(&self, of_containers: &BTreeSet<String>) {
        let list = self.docker.list_images(None::<ListImagesOptions>);
        let list = self.request("list its images", "", list).await;
        let names = list.into_iter().flatten().flat_map(|image| image.repo_tags);
        let workspace = self.workspace;
        for name in
            names.filter(|name| of_containers.contains(name) || is_image_of(name, workspace))
        {
            let removal = self
                .docker
                .remove_image(&name, None::<RemoveImageOptions>, None);
            let removed = tokio::time::timeout(self.limit, removal)
                .await
                .unwrap_or(Err(Error::RequestTimeoutError));
            // Another container may run on it; a name that is left costs no more than disk.
            if let Err(error) = absent_is_fine(removed.map(|_| ())) {
                tracing::warn!(workspace.id = %workspace, image = name, %error, "an image of a workspace was not removed");
            }
        }
    }
}

/// Whether an image has a name of the workspace's: its own builds, and those of its Compose project.
fn is_image_of(name: &str, workspace: &WorkspaceId) -> bool {
    let rest = name.strip_prefix(&volume_name(workspace));
    rest.is_some_and(|rest| rest.starts_with([':', '-', '_', '.']) && !rest.contains('/'))
}

/// What of the build cache is removed: what was not used for this time.
pub fn unused_for(time: Duration) -> PruneBuildOptions {
    let mut filters = HashMap::new();
    // Docker rounds to seconds: 0 s would keep what was used in the last one.
    if !time.is_zero() {
        filters.insert("until", vec![format!("{}s", time.as_secs())]);
    }
    PruneBuildOptionsBuilder::default()
        .filters(&filters)
        .build()
}

#[cfg(test)]
#[path = "removal_tests.rs"]
mod tests;
