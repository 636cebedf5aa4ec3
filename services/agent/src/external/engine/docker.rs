mod container;
mod error;
mod exec;
mod exec_output;
mod fetch;
mod life;
mod network;
mod push;
mod removal;
mod volume;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    models::ImageSummary,
    query_parameters::{
        CreateContainerOptions, ListContainersOptionsBuilder, ListImagesOptions,
        RemoveImageOptions, TagImageOptionsBuilder,
    },
};
use hearth_api::v1::ImageStore;
use hearth_domain::{Login, Platform, PlatformError, WorkspaceId};
use hearth_layers::{Mirror, Outgoing, Pulled, Pushed, TransferError};
use hearth_runtime::Metrics;

use super::{
    api::{
        ContainerNetwork, Engine, EngineFailure, EngineInfo, FindNear, KnownContainer, LocalImage,
        OnTransfer, StoredImage,
    },
    metadata::METADATA_LABEL,
};
use crate::clone_files::Owner;
use error::{absent_is_fine, failed, is_absent};
pub use fetch::ContainerdSocket;
use fetch::Fetcher;
use push::Sender;

/// How long Docker may take for a request: removing a large container takes long on a slow disk.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Docker, through its API socket.
#[derive(Clone, Debug)]
pub struct DockerEngine {
    docker: Docker,
    socket: String,
    fetcher: Fetcher,
    sender: Sender,
    /// Where the clones are; `None`: in volumes of its own.
    clones: Option<PathBuf>,
}

impl DockerEngine {
    /// Docker at `host`, for example `unix:///var/run/docker.sock`.
    pub fn connect(host: &str) -> Result<Self, EngineFailure> {
        let docker = Docker::connect_with_unix(host, TIMEOUT.as_secs(), API_DEFAULT_VERSION)
            .map_err(failed(host, "be reached"))?;
        Ok(Self {
            docker,
            socket: host.trim_start_matches("unix://").to_owned(),
            fetcher: Fetcher::default(),
            sender: Sender::default(),
            clones: None,
        })
    }

    /// Keeps the clones of workspaces in this folder.
    pub fn with_clones_in(self, clones: Option<PathBuf>) -> Self {
        Self { clones, ..self }
    }

    /// Moves images itself from now on where the engine's containerd can be used: it asks these mirrors first, and what it
    /// pushes waits in `folder`, on whose disk `reserve` bytes stay free.
    pub async fn moving_images(
        self,
        containerd: &ContainerdSocket,
        platform: &Platform,
        mirrors: Vec<Mirror>,
        (folder, reserve): (&Path, u64),
        metrics: &Metrics,
    ) -> Result<Self, EngineFailure> {
        let info = self.docker.info().await;
        let info = info.map_err(self.failed("describe itself"))?;
        let fetcher = Fetcher::choose(&info, containerd, platform, mirrors, metrics).await;
        Ok(Self {
            sender: Sender::new(fetcher.pusher(folder, reserve), metrics),
            fetcher,
            ..self
        })
    }

    fn failed(&self, action: &'static str) -> impl Fn(Error) -> EngineFailure {
        failed(&self.socket, action)
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn ping(&self) -> Result<(), EngineFailure> {
        self.docker
            .ping()
            .await
            .map(drop)
            .map_err(self.failed("answer"))
    }

    async fn describe(&self) -> Result<EngineInfo, EngineFailure> {
        let info = self
            .docker
            .info()
            .await
            .map_err(self.failed("describe itself"))?;
        let version = self
            .docker
            .version()
            .await
            .map_err(self.failed("describe itself"))?;
        let containerd = info
            .driver_status
            .iter()
            .flatten()
            .flatten()
            .any(|text| text == "io.containerd.snapshotter.v1");
        let os = version.os.unwrap_or_else(|| "linux".to_owned());
        let arch = version.arch.unwrap_or_else(|| "amd64".to_owned());
        Ok(EngineInfo {
            version: format!("Docker {}", version.version.unwrap_or_default()),
            platform: format!("{os}/{arch}")
                .parse()
                .map_err(|error: PlatformError| EngineFailure {
                    action: "describe itself",
                    cause: format!("its platform {os}/{arch} {error}"),
                })?,
            store: if containerd {
                ImageStore::Containerd
            } else {
                ImageStore::Classic
            },
            data_root: info.docker_root_dir.unwrap_or_default().into(),
            cpus: info
                .ncpu
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_default(),
            memory_bytes: info
                .mem_total
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or_default(),
        })
    }

    async fn create_volume(&self, workspace_id: &WorkspaceId) -> Result<PathBuf, EngineFailure> {
        self.remove_workspace(workspace_id).await?;
        let folder = volume::folder(self.clones.as_deref(), workspace_id).await?;
        let created = volume::create(&self.docker, workspace_id, folder).await;
        created.map_err(self.failed("make the workspace's volume"))
    }

    async fn remove_workspace(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure> {
        removal::everything(&self.docker, &self.socket, workspace_id).await?;
        volume::remove_folder_of(self.clones.as_deref(), workspace_id).await
    }

    async fn volume(&self, workspace_id: &WorkspaceId) -> Result<Option<PathBuf>, EngineFailure> {
        let found = volume::found(&self.docker, self.clones.as_deref(), workspace_id).await;
        found.map_err(self.failed("look at the workspace's volume"))
    }

    async fn clear_workspace(&self, id: &WorkspaceId, images: bool) -> Result<(), EngineFailure> {
        removal::but_the_volume(&self.docker, &self.socket, id, images).await
    }

    async fn remove_images(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure> {
        removal::images(&self.docker, &self.socket, workspace_id).await
    }

    async fn remove_containers(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure> {
        removal::containers(&self.docker, &self.socket, workspace_id).await
    }

    async fn running_containers(&self) -> Result<Vec<String>, EngineFailure> {
        let running = life::running(&self.docker).await;
        running.map_err(self.failed("list its containers"))
    }

    async fn stop_workspace(&self, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
        let stopped = life::stop(&self.docker, workspace).await;
        stopped.map_err(self.failed("stop the workspace's containers"))
    }

    async fn start_workspace(
        &self,
        workspace: &WorkspaceId,
        container: &str,
        door: &Path,
    ) -> Result<Vec<String>, EngineFailure> {
        let door = Self::connect(&format!("unix://{}", door.display()))?;
        let started = life::start(&self.docker, &door.docker, workspace, container).await;
        started.map_err(self.failed("start the workspace's containers"))
    }

    async fn container(
        &self,
        workspace: &WorkspaceId,
        container: &str,
    ) -> Result<Option<KnownContainer>, EngineFailure> {
        let known = life::known(&self.docker, workspace, container).await;
        known.map_err(self.failed("tell what became of the container"))
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, EngineFailure> {
        let workspaces = volume::workspaces(&self.docker).await;
        workspaces.map_err(self.failed("list the workspaces"))
    }

    async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineFailure> {
        let found = match self.docker.inspect_image(image).await {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(self.failed("inspect the image")(error)),
        };
        let config = found.config.unwrap_or_default();
        let all = serde_json::to_value(&config).and_then(serde_json::from_value);
        Ok(Some(LocalImage {
            config: all.unwrap_or_default(),
            id: found.id.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            environment: config.env.unwrap_or_default(),
            devcontainer_metadata: config.labels.unwrap_or_default().remove(METADATA_LABEL),
            layers: found.root_fs.and_then(|fs| fs.layers).unwrap_or_default(),
        }))
    }

    async fn file_of_image(
        &self,
        workspace: &WorkspaceId,
        image: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure> {
        let created = self
            .docker
            .create_container(
                None::<CreateContainerOptions>,
                container::helper(workspace, image),
            )
            .await
            .map_err(self.failed("look into the image"))?;
        let file = container::file(&self.docker, &created.id, path).await;
        container::remove(&self.docker, &created.id)
            .await
            .map_err(self.failed("look into the image"))?;
        file.map_err(self.failed("look into the image"))
    }

    async fn file_of_container(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure> {
        container::file(&self.docker, container, path)
            .await
            .map_err(self.failed("look into the container"))
    }

    async fn write_to_container(
        &self,
        container: &str,
        folder: &str,
        name: &str,
        content: &[u8],
        owner: Owner,
    ) -> Result<(), EngineFailure> {
        let file = (name, 0o644, owner);
        container::write(&self.docker, container, folder, file, content)
            .await
            .map_err(self.failed("write into the container"))
    }

    async fn give_volume(
        &self,
        workspace: &WorkspaceId,
        container: &str,
        owner: Owner,
    ) -> Result<(), EngineFailure> {
        volume::give(&self.docker, workspace, container, owner)
            .await
            .map_err(self.failed("hand the workspace's volume over"))
    }

    async fn open_network(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<ContainerNetwork, EngineFailure> {
        network::open(&self.docker, workspace)
            .await
            .map_err(self.failed("make a network for commands"))
    }

    async fn close_network(&self, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
        network::close(&self.docker, workspace)
            .await
            .map_err(self.failed("remove the network of commands"))
    }

    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineFailure> {
        let options = TagImageOptionsBuilder::default()
            .repo(repository)
            .tag(tag)
            .build();
        self.docker
            .tag_image(image, Some(options))
            .await
            .map_err(self.failed("name the image"))
    }

    async fn remove_image(&self, image: &str) -> Result<(), EngineFailure> {
        let removed = self
            .docker
            .remove_image(image, None::<RemoveImageOptions>, None)
            .await;
        absent_is_fine(removed.map(|_| ())).map_err(self.failed("remove the image"))
    }

    async fn images(&self) -> Result<Vec<StoredImage>, EngineFailure> {
        let images = self
            .docker
            .list_images(None::<ListImagesOptions>)
            .await
            .map_err(self.failed("list its images"))?;
        Ok(images.into_iter().map(stored).collect())
    }

    async fn images_of_containers(&self) -> Result<BTreeSet<String>, EngineFailure> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let containers = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(self.failed("list its containers"))?;
        Ok(containers
            .into_iter()
            .filter_map(|container| container.image_id)
            .collect())
    }

    async fn prune_build_cache(&self, unused_for: Duration) -> Result<u64, EngineFailure> {
        let pruned = self
            .docker
            .prune_build(Some(removal::unused_for(unused_for)))
            .await
            .map_err(self.failed("prune its build cache"))?;
        let bytes = pruned.space_reclaimed.unwrap_or_default();
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    async fn pull(
        &self,
        image: &str,
        login: Option<&Login>,
        near: FindNear<'_>,
        progress: OnTransfer<'_>,
    ) -> Result<Pulled, TransferError> {
        let sees = async || !matches!(self.image(image).await, Ok(None));
        self.fetcher
            .pull(&self.docker, image, login, near, progress, sees)
            .await
    }

    async fn push(
        &self,
        image: &Outgoing<'_>,
        login: Option<&Login>,
        progress: OnTransfer<'_>,
    ) -> Result<Pushed, TransferError> {
        self.sender.push(&self.docker, image, login, progress).await
    }
}

/// Docker 26 lists the names with digests among the tags, too.
fn stored(image: ImageSummary) -> StoredImage {
    let names = image.repo_tags.into_iter().chain(image.repo_digests);
    let (digests, tags): (BTreeSet<_>, BTreeSet<_>) = names.partition(|name| name.contains('@'));
    StoredImage {
        id: image.id,
        tags: tags.into_iter().collect(),
        digests: digests.into_iter().collect(),
        bytes: u64::try_from(image.size).unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
