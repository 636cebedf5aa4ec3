use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use hearth_api::v1;
use hearth_domain::{Login, Platform, WorkspaceId};
use hearth_layers::{Near, Outgoing, Pulled, Pushed, Transfer, TransferError};
use prost_types::Timestamp;

use super::metadata::ImageMetadata;
use crate::clone_files::Owner;

/// Label on every volume and container of a workspace; its value is the workspace's id.
pub const WORKSPACE_LABEL: &str = "hearth.workspace";

/// Called with the progress of a transfer.
pub type OnTransfer<'a> = &'a (dyn Fn(Transfer) + Send + Sync);

/// Finds out what is near that has an image, when that can be used.
pub type FindNear<'a> = BoxFuture<'a, Near>;

/// Description of an engine.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// Name and version.
    pub version: String,
    /// The platform of its containers.
    pub platform: Platform,
    /// How it stores images.
    pub store: v1::ImageStore,
    /// Where it keeps its data. Free disk is measured there.
    pub data_root: PathBuf,
    /// Logical processors.
    pub cpus: u32,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
}

/// An image that the engine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalImage {
    /// The engine's id: the digest of the manifest on the containerd store, that of the configuration on the classic one.
    pub id: String,
    /// The user in its configuration; empty for root.
    pub user: String,
    /// Environment of its configuration, as `NAME=value`.
    pub environment: Vec<String>,
    /// The `devcontainer.metadata` label, if it has one.
    pub devcontainer_metadata: Option<String>,
    /// Digests of its uncompressed layers, lowest first.
    pub layers: Vec<String>,
    /// All of its configuration by the engine's names: `Env`, `Cmd`, `Labels` …
    pub config: BTreeMap<String, serde_json::Value>,
}

impl LocalImage {
    /// Its devcontainer metadata.
    pub fn metadata(&self) -> ImageMetadata {
        ImageMetadata::read(self.devcontainer_metadata.as_deref())
    }
}

/// An image in the engine's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredImage {
    /// The engine's id.
    pub id: String,
    /// Names of the form `repository:tag`.
    pub tags: Vec<String>,
    /// Names of the form `repository@digest`.
    pub digests: Vec<String>,
    /// Its size in bytes, layers that it shares with others included.
    pub bytes: u64,
}

/// The network of a container, for commands of the node that are to reach what a container reaches.
#[derive(Debug)]
pub struct ContainerNetwork {
    /// Its namespace.
    pub namespace: OwnedFd,
    /// `/etc/resolv.conf` of the container: how names are resolved in this network.
    pub resolv_conf: Vec<u8>,
    /// `/etc/hosts` of the container.
    pub hosts: Vec<u8>,
}

/// A container of a workspace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownContainer {
    /// Whether it runs.
    pub running: bool,
    /// What its first process ended with.
    pub exit_code: i32,
    /// Whether the kernel ended a process of it that had used up its memory.
    pub out_of_memory: bool,
    /// When it ended, if it has.
    pub finished: Option<Timestamp>,
    /// The last of its output, as it was printed, unless it runs.
    pub output_tail: String,
    /// Its `devcontainer.metadata` label, if it has one.
    pub devcontainer_metadata: Option<String>,
}

impl KnownContainer {
    /// Its devcontainer metadata.
    pub fn metadata(&self) -> ImageMetadata {
        ImageMetadata::read(self.devcontainer_metadata.as_deref())
    }
}

/// The engine could not do something.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the engine could not {action}: {cause}")]
pub struct EngineFailure {
    /// What it was asked for; completes "could not …".
    pub action: &'static str,
    /// Its message.
    pub cause: String,
}

/// The container engine of the node.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Whether the engine answers.
    async fn ping(&self) -> Result<(), EngineFailure>;
    /// Describes the engine.
    async fn describe(&self) -> Result<EngineInfo, EngineFailure>;
    /// Creates the volume of a workspace and returns its folder on the node. An existing volume is replaced.
    async fn create_volume(&self, workspace_id: &WorkspaceId) -> Result<PathBuf, EngineFailure>;
    /// Removes what a workspace has: containers, networks, volumes, and images that nothing else uses. Something that
    /// cannot be removed keeps nothing else; it is an error. It is none if there is nothing.
    async fn remove_workspace(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure>;
    /// The folder on the node of the volume of a workspace. `None`: it has none of its own.
    async fn volume(&self, workspace_id: &WorkspaceId) -> Result<Option<PathBuf>, EngineFailure>;
    /// Removes what [`Self::remove_workspace`] does, but for the workspace's volume, and images only if asked to.
    async fn clear_workspace(
        &self,
        workspace_id: &WorkspaceId,
        images: bool,
    ) -> Result<(), EngineFailure>;
    /// Removes the images of a workspace that no container needs.
    async fn remove_images(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure>;
    /// Removes the containers of a workspace and leaves its volume.
    async fn remove_containers(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure>;
    /// Stops the containers of a workspace, those first that no other one needs. Each has its grace time, a minute at most, and
    /// all of them a minute and a half.
    async fn stop_workspace(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure>;
    /// Starts a container of a workspace and the others of its Compose project, those first that others need, through the
    /// attempt's `door`. Returns warnings.
    async fn start_workspace(
        &self,
        workspace_id: &WorkspaceId,
        container: &str,
        door: &Path,
    ) -> Result<Vec<String>, EngineFailure>;
    /// A container of a workspace. `None` if there is none, or it is not the workspace's.
    async fn container(
        &self,
        workspace_id: &WorkspaceId,
        container: &str,
    ) -> Result<Option<KnownContainer>, EngineFailure>;
    /// Ids of the containers of workspaces that run.
    async fn running_containers(&self) -> Result<Vec<String>, EngineFailure>;
    /// Ids of the workspaces that have a volume.
    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, EngineFailure>;
    /// An image, if the engine has it.
    async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineFailure>;
    /// A file out of an image, without running anything. `None` when it is not there. Where that needs a container, it is
    /// one of the workspace's, and removed with them if the future is dropped before its end.
    async fn file_of_image(
        &self,
        workspace: &WorkspaceId,
        image: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure>;
    /// A file of a container. `None` if the container has no such file.
    async fn file_of_container(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure>;
    /// Writes a file of `owner` into a folder of a container, in place of what has its name there. The engine does it inside of the
    /// container: a link leads nowhere else.
    async fn write_to_container(
        &self,
        container: &str,
        folder: &str,
        name: &str,
        content: &[u8],
        owner: Owner,
    ) -> Result<(), EngineFailure>;
    /// Gives everything in the volume of a workspace to `owner` while containers write to it: inside of one more container,
    /// which has the image of `container`, the volume and nothing else.
    async fn give_volume(
        &self,
        workspace: &WorkspaceId,
        container: &str,
        owner: Owner,
    ) -> Result<(), EngineFailure>;
    /// Opens a network as containers of the workspace have it, in a container that does nothing else. That is the workspace's:
    /// it goes with the others if the future is dropped, or the network is not closed.
    async fn open_network(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<ContainerNetwork, EngineFailure>;
    /// Removes what [`Self::open_network`] made.
    async fn close_network(&self, workspace: &WorkspaceId) -> Result<(), EngineFailure>;
    /// Gives an image one more name.
    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineFailure>;
    /// Removes a name of an image, and the image itself when it was the last name and no container needs it. It is no error
    /// if there is no such name.
    async fn remove_image(&self, image: &str) -> Result<(), EngineFailure>;
    /// All images.
    async fn images(&self) -> Result<Vec<StoredImage>, EngineFailure>;
    /// Ids of the images of all containers, running or not.
    async fn images_of_containers(&self) -> Result<BTreeSet<String>, EngineFailure>;
    /// Removes the part of the build cache that was not used for this long. Returns its bytes, which may become free a
    /// little later.
    async fn prune_build_cache(&self, unused_for: Duration) -> Result<u64, EngineFailure>;
    /// Pulls an image. Dropping the future ends the transfer.
    async fn pull(
        &self,
        image: &str,
        login: Option<&Login>,
        near: FindNear<'_>,
        progress: OnTransfer<'_>,
    ) -> Result<Pulled, TransferError>;
    /// Pushes an image, which has to have the name there already. Dropping the future ends the transfer.
    async fn push(
        &self,
        image: &Outgoing<'_>,
        login: Option<&Login>,
        progress: OnTransfer<'_>,
    ) -> Result<Pushed, TransferError>;
}

/// What the names of workspaces' volumes begin with.
pub const VOLUME_PREFIX: &str = "hearth-";

/// Name of a workspace's volume, and of its Compose project.
pub fn volume_name(workspace_id: &WorkspaceId) -> String {
    format!("{VOLUME_PREFIX}{workspace_id}")
}
