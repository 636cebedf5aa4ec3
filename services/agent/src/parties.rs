//! The parties that an attempt works with. Each stands behind one narrow trait in a module of its own, so that a
//! test can put a fake in its place.

mod child;
mod control_plane;
mod devcontainer;
mod docker;
mod engine;
mod git;
mod registry;
mod session;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use hearth_api::v1;
use hearth_domain::{Digest, KeyManifest};
use hearth_layers::{ImageInfo, RegistryError, RegistryLogin};
use secrecy::SecretString;

pub(crate) use child::Tail;
pub use child::{ChildFailure, Line};
pub use control_plane::ControlPlaneClient;
pub use devcontainer::{DevcontainerCli, default_config_path};
pub use docker::{DockerEngine, volume_name};
pub use engine::{Engine, EngineFailure, EngineInfo, LocalImage, OnTransfer, StoredImage};
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
