//! The parties that an attempt works with. Each stands behind one narrow trait in a module of its own, so that a
//! test can put a fake in its place.

mod child;
mod control_plane;
mod devcontainer;
mod docker;
mod git;
mod registry;
mod session;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use hearth_api::v1;
use hearth_domain::{Digest, KeyManifest};
use hearth_layers::{ImageInfo, Pulled, RegistryError, RegistryLogin, Transfer, TransferError};
use secrecy::SecretString;

pub(crate) use child::Tail;
pub use child::{ChildFailure, Line};
pub use control_plane::ControlPlaneClient;
pub use devcontainer::{DevcontainerCli, default_config_path};
pub use docker::{DockerEngine, volume_name};
pub use git::GitCli;
pub use registry::OciRegistry;
pub use session::Session;

/// All parties together.
#[derive(Clone)]
pub struct Parties {
    /// The container engine.
    pub engine: Arc<dyn Engine>,
    /// Git.
    pub git: Arc<dyn Git>,
    /// The devcontainer CLI.
    pub devcontainer: Arc<dyn Devcontainer>,
    /// Container registries.
    pub registry: Arc<dyn Registry>,
    /// The control plane's index of the cache.
    pub index: Arc<dyn CacheIndex>,
    /// Where logins come from.
    pub credentials: Arc<dyn Credentials>,
}

/// Those of them that an agent brings along; the others are wherever the control plane is.
#[derive(Clone)]
pub struct PartiesOnNode {
    /// The container engine.
    pub engine: Arc<dyn Engine>,
    /// Git.
    pub git: Arc<dyn Git>,
    /// The devcontainer CLI.
    pub devcontainer: Arc<dyn Devcontainer>,
    /// Container registries.
    pub registry: Arc<dyn Registry>,
}

impl PartiesOnNode {
    /// All parties, with those that this control plane serves.
    pub fn and(self, control_plane: &ControlPlaneClient) -> Parties {
        let Self {
            engine,
            git,
            devcontainer,
            registry,
        } = self;
        Parties {
            engine,
            git,
            devcontainer,
            registry,
            index: Arc::new(control_plane.clone()),
            credentials: Arc::new(control_plane.clone()),
        }
    }
}

/// Takes the lines of a command as they come.
pub type OnLine<'a> = &'a mut (dyn FnMut(Line<'_>) + Send);

/// Hears how far a transfer is.
pub type OnTransfer<'a> = &'a (dyn Fn(Transfer) + Send + Sync);

/// What an engine says of itself.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// Name and version.
    pub version: String,
    /// `os/architecture`.
    pub platform: String,
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
    async fn create_volume(&self, workspace_id: &str) -> Result<PathBuf, EngineFailure>;
    /// Removes containers and volume of a workspace; what is not there is no error.
    async fn remove_workspace(&self, workspace_id: &str) -> Result<(), EngineFailure>;
    /// Removes the containers of a workspace and leaves its volume.
    async fn remove_containers(&self, workspace_id: &str) -> Result<(), EngineFailure>;
    /// Ids of the workspaces that have a volume or a container.
    async fn workspaces(&self) -> Result<Vec<String>, EngineFailure>;
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

/// What is to be cloned, and where to.
pub struct CloneRequest<'a> {
    /// URL without credentials.
    pub url: &'a str,
    /// Branch, tag or full commit hash; `None` for the default branch.
    pub git_ref: Option<&'a str>,
    /// A folder that does not exist yet.
    pub into: &'a Path,
    /// Private scratch folder of the attempt.
    pub scratch: &'a Path,
    /// Login for this repository, and for nothing else on its host.
    pub login: Option<&'a GitLogin>,
}

/// Why there is no clone.
#[derive(Clone, Debug)]
pub enum CloneFailure {
    /// The remote has no such branch, tag or commit.
    RefNotFound(ChildFailure),
    /// The git host did not accept the login that it got.
    LoginRefused(ChildFailure),
    /// Anything else.
    Failed(ChildFailure),
}

/// Git.
#[async_trait]
pub trait Git: Send + Sync {
    /// Clones and returns the full hash of the commit that was checked out.
    async fn clone_repository(
        &self,
        request: &CloneRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<String, CloneFailure>;
    /// Checks `commit` of the clone out again, into another folder, whatever happened to the clone's files since.
    async fn export(
        &self,
        clone: &Path,
        commit: &str,
        into: &Path,
        scratch: &Path,
    ) -> Result<(), ChildFailure>;
}

/// Where the devcontainer CLI runs.
#[derive(Clone, Copy)]
pub struct CliPlace<'a> {
    /// Workspace folder on the node.
    pub folder: &'a Path,
    /// The configuration, below the workspace folder.
    pub config: &'a Path,
    /// Private scratch folder of the attempt: home, temporary files and Docker configuration.
    pub scratch: &'a Path,
    /// The workspace.
    pub workspace_id: &'a str,
}

/// What to build.
#[derive(Clone, Copy)]
pub struct BuildRequest<'a> {
    /// Where.
    pub place: CliPlace<'a>,
    /// Names of the image to make; none when only the cache is wanted.
    pub image_name: &'a str,
    /// BuildKit cache to read, as `--cache-from` takes it.
    pub cache_from: Option<&'a str>,
    /// BuildKit cache to write, as `--cache-to` takes it.
    pub cache_to: Option<&'a str>,
    /// How the image is written, as `--output` takes it; `None` loads it into the engine.
    pub output: Option<&'a str>,
}

/// What to start.
#[derive(Clone, Copy)]
pub struct UpRequest<'a> {
    /// Where.
    pub place: CliPlace<'a>,
    /// Configuration to use instead of the repository's.
    pub override_config: Option<&'a Path>,
    /// Start the container and leave its hooks for [`Devcontainer::run_hooks`].
    pub skip_hooks: bool,
}

/// A devcontainer that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Id of the container.
    pub container_id: String,
    /// User inside.
    pub remote_user: String,
    /// Folder of the clone inside.
    pub remote_folder: String,
}

/// The devcontainer CLI.
#[async_trait]
pub trait Devcontainer: Send + Sync {
    /// Its version.
    async fn version(&self) -> Result<String, ChildFailure>;
    /// Builds an image.
    async fn build(
        &self,
        request: &BuildRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ChildFailure>;
    /// Starts a container and runs its hooks.
    async fn up(
        &self,
        request: &UpRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<Started, ChildFailure>;
    /// Runs the hooks of a container that was started without them; they are in its image's metadata.
    async fn run_hooks(
        &self,
        request: &UpRequest<'_>,
        container_id: &str,
        on_line: OnLine<'_>,
    ) -> Result<(), ChildFailure>;
}

/// Container registries.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The digest that a reference stands for now.
    async fn digest(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<Digest, RegistryError>;
    /// An image's configuration as JSON.
    async fn config(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<String, RegistryError>;
    /// The annotations of a manifest.
    async fn annotations(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<BTreeMap<String, String>, RegistryError>;
    /// What the registry knows of an image.
    async fn inspect(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<ImageInfo, RegistryError>;
}

/// What the index has for a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// An image.
    Hit(Box<v1::CacheEntry>),
    /// Nothing that is worth fetching, and why.
    Build(v1::BuildDecision),
}

/// Hears who builds the key, while the index makes the caller wait for it.
pub type OnWait<'a> = &'a mut (dyn FnMut(v1::WaitDecision) + Send);

/// The index could not be asked, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the cache index: {0}")]
pub struct IndexFailure(pub String);

/// The control plane's index of the cache.
#[async_trait]
pub trait CacheIndex: Send + Sync {
    /// Asks what there is for a key. May take as long as another node builds it; whoever drops the future waits no more.
    async fn resolve(
        &self,
        attempt: &v1::AttemptRef,
        repository: &str,
        manifest: &KeyManifest,
        on_wait: OnWait<'_>,
    ) -> Result<Resolution, IndexFailure>;
    /// Enters a pushed image.
    async fn commit(
        &self,
        attempt: &v1::AttemptRef,
        entry: v1::CacheEntry,
    ) -> Result<(), IndexFailure>;
    /// Reports that an entry's image is gone.
    async fn drop_entry(
        &self,
        attempt: &v1::AttemptRef,
        entry: &v1::CacheEntry,
    ) -> Result<(), IndexFailure>;
}

/// User and password for one git host.
#[derive(Clone, Debug)]
pub struct GitLogin {
    /// `host[:port]`.
    pub host: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: SecretString,
    /// When it ends; `None` when it does not end by itself.
    pub expires: Option<SystemTime>,
}

/// There was no answer about logins, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the control plane was asked for logins: {0}")]
pub struct CredentialFailure(pub String);

/// Where logins come from: the control plane.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Asks for logins. May wait for the node's registration: whoever asks has a limit. `refused_sha256` is the SHA-256, in hex, of a password that a host did not accept, or empty.
    async fn refresh(
        &self,
        attempt: &v1::AttemptRef,
        purpose: v1::CredentialUse,
        refused_sha256: &str,
    ) -> Result<v1::RefreshCredentialsResponse, CredentialFailure>;
}
