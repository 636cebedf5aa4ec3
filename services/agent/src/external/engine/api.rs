use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use async_trait::async_trait;
use hearth_api::v1;
use hearth_domain::{Platform, WorkspaceId};
use hearth_layers::{Pulled, RegistryLogin, Transfer, TransferError};

/// Label on every volume and container of a workspace; its value is the workspace's id.
pub const WORKSPACE_LABEL: &str = "hearth.workspace";

/// Hears how far a transfer is.
pub type OnTransfer<'a> = &'a (dyn Fn(Transfer) + Send + Sync);

/// What an engine says of itself.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// Name and version.
    pub version: String,
    /// The platform of its containers.
    pub platform: Platform,
    /// How it keeps images.
    pub store: v1::ImageStore,
    /// Where it keeps its data; free space is measured there.
    pub data_root: PathBuf,
    /// Logical processors.
    pub cpus: u32,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
}

/// An image that the engine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalImage {
    /// The engine's id of it: the manifest's digest on the containerd store, the configuration's on the classic one.
    pub id: String,
    /// User that its configuration names; empty for root.
    pub user: String,
    /// Environment of its configuration, as `NAME=value`.
    pub environment: Vec<String>,
    /// The `devcontainer.metadata` label, if it has one.
    pub devcontainer_metadata: Option<String>,
    /// Digests of its uncompressed layers, lowest first.
    pub layers: Vec<String>,
}

/// An image in the engine's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredImage {
    /// The engine's id of it.
    pub id: String,
    /// Names of the form `repository:tag`.
    pub tags: Vec<String>,
    /// Names of the form `repository@digest`.
    pub digests: Vec<String>,
    /// Bytes that it takes, shared ones included.
    pub bytes: u64,
}

/// The engine did not do what it was asked, in its own words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the engine could not {action}: {cause}")]
pub struct EngineFailure {
    /// What it was asked for; completes "could not".
    pub action: &'static str,
    /// Why not.
    pub cause: String,
}

/// The container engine of the node.
#[async_trait]
pub trait Engine: Send + Sync {
    /// What it is.
    async fn describe(&self) -> Result<EngineInfo, EngineFailure>;
    /// Makes the volume of a workspace and returns where it is on the node. An existing one is replaced.
    async fn create_volume(&self, workspace_id: &WorkspaceId) -> Result<PathBuf, EngineFailure>;
    /// Removes containers and volume of a workspace; what is not there is no error.
    async fn remove_workspace(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure>;
    /// Removes the containers of a workspace and leaves its volume.
    async fn remove_containers(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure>;
    /// Ids of the workspaces that have a volume.
    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, EngineFailure>;
    /// An image, if the engine has it.
    async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineFailure>;
    /// A file out of an image, without running anything. `None` when it is not there.
    async fn file_of_image(
        &self,
        image: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure>;
    /// A file out of a container. `None` when it is not there.
    async fn file_of_container(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure>;
    /// Gives an image another name.
    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineFailure>;
    /// Removes a name of an image, and the image when it was the last one and no container needs it. What is not there
    /// is no error.
    async fn remove_image(&self, image: &str) -> Result<(), EngineFailure>;
    /// All images.
    async fn images(&self) -> Result<Vec<StoredImage>, EngineFailure>;
    /// Ids of the images of all containers, whether they run or not.
    async fn images_of_containers(&self) -> Result<BTreeSet<String>, EngineFailure>;
    /// Removes what the engine's builds left behind and did not use for so long. Returns its bytes; the disk may gain
    /// them a little later.
    async fn prune_build_cache(&self, unused_for: Duration) -> Result<u64, EngineFailure>;
    /// Fetches an image. Dropping the future ends the fetch.
    async fn pull(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
        progress: OnTransfer<'_>,
    ) -> Result<Pulled, TransferError>;
    /// Pushes an image.
    async fn push(
        &self,
        repository: &str,
        tag: &str,
        login: Option<&RegistryLogin>,
        progress: OnTransfer<'_>,
    ) -> Result<Transfer, TransferError>;
}

/// Name of a workspace's volume, and of its Compose project.
pub fn volume_name(workspace_id: &WorkspaceId) -> String {
    format!("hearth-{workspace_id}")
}
