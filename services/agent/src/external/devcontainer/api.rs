use std::path::{Path, PathBuf};

use async_trait::async_trait;
use hearth_domain::WorkspaceId;

use crate::external::process::{OnLine, ProcessFailure};

/// Where the devcontainer CLI runs.
#[derive(Clone, Copy)]
pub struct CliWorkspace<'a> {
    /// Workspace folder on the node.
    pub folder: &'a Path,
    /// The configuration, below the workspace folder.
    pub config: &'a Path,
    /// Private scratch folder of the attempt: home, temporary files and Docker configuration.
    pub scratch: &'a Path,
    /// The workspace.
    pub workspace_id: &'a WorkspaceId,
}

/// What to build.
#[derive(Clone, Copy)]
pub struct BuildRequest<'a> {
    /// Where.
    pub workspace: CliWorkspace<'a>,
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
    pub workspace: CliWorkspace<'a>,
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
    async fn version(&self) -> Result<String, ProcessFailure>;
    /// Builds an image.
    async fn build(
        &self,
        request: &BuildRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure>;
    /// Starts a container and runs its hooks.
    async fn up(
        &self,
        request: &UpRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<Started, ProcessFailure>;
    /// Runs the hooks of a container that was started without them; they are in its image's metadata.
    async fn run_hooks(
        &self,
        request: &UpRequest<'_>,
        container_id: &str,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure>;
}

/// The configuration that the CLI is given for a clone that has none: the file need not exist, only its path counts.
pub fn default_config_path(folder: &Path) -> PathBuf {
    folder.join(".devcontainer/devcontainer.json")
}
