use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use hearth_domain::WorkspaceId;
use tokio::sync::oneshot;

use super::on_node::NodeRequest;
use crate::{
    external::process::{OnLine, ProcessFailure},
    mask::Mask,
};

/// What the devcontainer CLI works on.
#[derive(Clone, Copy)]
pub struct CliWorkspace<'a> {
    /// Its folder on the node.
    pub folder: &'a Path,
    /// The configuration in that folder.
    pub config: &'a Path,
    /// Private scratch folder of the attempt: home, temporary files and Docker configuration.
    pub scratch: &'a Path,
    /// Its id.
    pub workspace_id: &'a WorkspaceId,
}

/// A build.
#[derive(Clone, Copy)]
pub struct BuildRequest<'a> {
    /// The workspace.
    pub workspace: CliWorkspace<'a>,
    /// Name of the image.
    pub image_name: &'a str,
    /// What docker is to build; `None`: the configuration of the workspace says so to the CLI.
    pub plain: Option<&'a PlainBuild>,
    /// BuildKit cache to read, as `--cache-from` takes it.
    pub cache_from: Option<&'a str>,
    /// BuildKit cache to write, as `--cache-to` takes it.
    pub cache_to: Option<&'a str>,
    /// How the image is written, as `--output` takes it; `None` loads it into the engine.
    pub output: Option<&'a str>,
    /// Folder of the files that it is built from.
    pub sources: &'a Path,
    /// Whether BuildKit's own cache is left unread.
    pub no_cache: bool,
    /// Whose cache mounts it uses: those of builds with another name are not seen.
    pub cache_mounts: &'a str,
}

/// A container to start, without its hooks.
pub struct UpRequest<'a> {
    /// The workspace.
    pub workspace: CliWorkspace<'a>,
    /// What it is made from.
    pub from: UpFrom,
    /// Configuration to use instead of the repository's, in JSON. The CLI is started before it is there: that takes as long
    /// as a third of the rest.
    pub configuration: oneshot::Receiver<String>,
}

/// What a container is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpFrom {
    /// An image that nothing is added to.
    Image,
    /// A Compose project, whose images may have to be built.
    Compose,
}

/// Hooks of a running container to run. The CLI keeps marks of those that ran in the container, and runs none twice.
#[derive(Clone, Copy)]
pub struct HooksRequest<'a> {
    /// The workspace.
    pub workspace: CliWorkspace<'a>,
    /// Configuration without hooks: the metadata of the container has them, and the CLI would run both.
    pub hookless_config: &'a Path,
    /// The container.
    pub container_id: &'a str,
    /// Only those up to the one that `waitFor` names.
    pub blocking_only: bool,
    /// File with stand-ins for the secrets of the hooks, by their names: the attempt's door to the engine puts the values in.
    pub stand_ins: Option<&'a Path>,
    /// Takes secrets out of what they print.
    pub mask: &'a Mask,
    /// Folder in the container for the marks; `None`: in the home folder of the user.
    pub marks: Option<&'a str>,
}

/// A running devcontainer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Id of the container.
    pub container_id: String,
    /// User of hooks and terminals in the container.
    pub remote_user: String,
    /// Folder of the clone in the container.
    pub remote_folder: String,
}

/// What Compose makes of a project's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComposeProject {
    /// The whole project as JSON, with the services that are run on request only.
    pub model: String,
    /// The services whose builds it is without the keys of, which not every version can write.
    pub without_keys: Vec<String>,
    /// The services that are run where none is named. `None`: they are not asked for, or Compose runs none like that.
    pub active: Option<Vec<String>>,
}

/// A build by docker alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainBuild {
    /// Where the Dockerfile is.
    pub dockerfile: PathBuf,
    /// Where the context is.
    pub context: PathBuf,
    /// The stage to build; the last one if there is none.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Words for docker.
    pub options: Vec<String>,
}

/// The devcontainer CLI.
#[async_trait]
pub trait Devcontainer: Send + Sync {
    /// Its version.
    async fn version(&self) -> Result<String, ProcessFailure>;
    /// Runs a command of the configuration on the node, in the clone's folder. When it has ended, nothing of it goes on.
    async fn run_on_node(
        &self,
        request: &NodeRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure>;
    /// Builds an image.
    async fn build(
        &self,
        request: &BuildRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure>;
    /// Starts a container.
    async fn up(
        &self,
        request: UpRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<Started, ProcessFailure>;
    /// What Compose makes of a project's files, `with_active` including which services are run where none is named.
    async fn compose_project(
        &self,
        workspace: &CliWorkspace<'_>,
        files: &[PathBuf],
        with_active: bool,
    ) -> Result<ComposeProject, ProcessFailure>;
    /// Runs hooks, but for `postAttachCommand`.
    async fn run_hooks(
        &self,
        request: &HooksRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure>;
}

/// The configuration's path for a clone that has none. The CLI needs a path; the file need not exist.
pub fn default_config_path(folder: &Path) -> PathBuf {
    folder.join(".devcontainer/devcontainer.json")
}
