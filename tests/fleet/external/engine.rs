use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use hearth_agent::external::engine::{
    ContainerNetwork, Engine, EngineFailure, EngineInfo, FindNear, KnownContainer, LocalImage,
    OnTransfer, Owner, Signal, StoredImage,
};
use hearth_api::v1::ImageStore;
use hearth_domain::{Digest, Login, WorkspaceId};
use hearth_layers::{Outgoing, Pulled, Pushed, Transfer, TransferError};
use hearth_tests::images::Image;
use tokio::sync::watch;

use super::{FakeRegistry, execs::Commands, lock, registry::BYTES};

/// A node's engine: images, volumes and containers by name.
pub struct FakeEngine {
    volumes: PathBuf,
    registry: Arc<FakeRegistry>,
    state: Mutex<State>,
    hangs: watch::Sender<bool>,
    commands: Commands,
}

#[derive(Default)]
struct State {
    workspaces: BTreeSet<WorkspaceId>,
    /// Images by their names, `repository:tag` and `repository@digest`.
    images: BTreeMap<String, Image>,
    /// Each workspace's container.
    containers: BTreeMap<WorkspaceId, Container>,
    /// How often containers were stopped and started, after they were made.
    stops: usize,
    starts: usize,
    pulls: usize,
    /// What the next push sends in place of the image: its tag was moved meanwhile.
    moved: Option<Image>,
}

/// A workspace's container.
#[derive(Clone, Default)]
struct Container {
    image: String,
    /// How it has ended, unless it runs.
    ended: Option<KnownContainer>,
}

/// The description of every engine.
pub fn info(data_root: &Path) -> EngineInfo {
    EngineInfo {
        version: "Fake 1".to_owned(),
        platform: "linux/amd64".parse().expect("a platform"),
        store: ImageStore::Containerd,
        data_root: data_root.to_owned(),
        cpus: 1,
        memory_bytes: 1 << 30,
    }
}

/// Id of a workspace's container.
pub(super) fn container_id(workspace: &WorkspaceId) -> String {
    format!("container-of-{workspace}")
}

impl FakeEngine {
    pub(super) fn new(volumes: &Path, registry: Arc<FakeRegistry>) -> Self {
        Self {
            volumes: volumes.to_owned(),
            registry,
            state: Mutex::default(),
            hangs: watch::Sender::new(false),
            commands: Commands::default(),
        }
    }

    pub(super) fn commands(&self) -> &Commands {
        &self.commands
    }

    /// What the commands in its containers were sent, each in its order.
    pub fn signals(&self) -> Vec<Vec<Signal>> {
        self.commands.signals()
    }

    /// From now on it answers pings, and nothing else before [`FakeEngine::go_on`].
    pub fn hang(&self) {
        self.hangs.send_replace(true);
    }

    pub fn go_on(&self) {
        self.hangs.send_replace(false);
    }

    async fn answers(&self) {
        let mut hangs = self.hangs.subscribe();
        let answers = hangs.wait_for(|hangs| !hangs).await;
        answers.expect("the sender is in `self`");
    }

    /// Another program gives the next tag that is pushed to this image.
    pub fn move_next_tag(&self, image: Image) {
        lock(&self.state).moved = Some(image);
    }

    /// Images that were fetched so far.
    pub fn pulls(&self) -> usize {
        lock(&self.state).pulls
    }

    /// Names by digest of the images that are there and were fetched or pushed.
    pub fn by_digest(&self) -> Vec<String> {
        let state = lock(&self.state);
        let names = state.images.keys();
        names.filter(|name| name.contains('@')).cloned().collect()
    }

    /// Whether it has something of a workspace.
    pub fn has(&self, workspace: &str) -> bool {
        let state = lock(&self.state);
        let mut all = state.workspaces.iter().chain(state.containers.keys());
        all.any(|id| id.as_str() == workspace)
    }

    /// The workspaces that have a volume.
    pub fn ids(&self) -> Vec<String> {
        let state = lock(&self.state);
        state.workspaces.iter().map(ToString::to_string).collect()
    }

    /// Whether a workspace has a container that runs.
    pub fn runs(&self, workspace: &str) -> bool {
        let state = lock(&self.state);
        let mut containers = state.containers.iter();
        containers.any(|(id, container)| id.as_str() == workspace && container.ended.is_none())
    }

    /// How often containers were stopped, and how often they were started again.
    pub fn stops_and_starts(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.stops, state.starts)
    }

    /// The container of a workspace ends by itself.
    pub fn dies(&self, workspace: &str, how: KnownContainer) {
        self.change(workspace, |container| container.ended = Some(how));
    }

    /// Somebody starts it by hand.
    pub fn comes_back(&self, workspace: &str) {
        self.change(workspace, |container| container.ended = None);
    }

    /// Somebody removes it by hand.
    pub fn removes_container(&self, workspace: &str) {
        let id = workspace.parse().expect("an id");
        lock(&self.state).containers.remove(&id);
    }

    fn change(&self, workspace: &str, change: impl FnOnce(&mut Container)) {
        let id = workspace.parse().expect("an id");
        let mut state = lock(&self.state);
        change(state.containers.get_mut(&id).expect("a container"));
    }

    /// Adds an image that was built here.
    pub(super) fn add_image(&self, name: &str, image: Image) {
        lock(&self.state).images.insert(name.to_owned(), image);
    }

    /// Starts a workspace's container, if the image is there.
    pub(super) fn start(&self, workspace_id: &WorkspaceId, image: &str) -> bool {
        let mut state = lock(&self.state);
        let there = state.images.contains_key(image);
        if there {
            let container = Container {
                image: image.to_owned(),
                ended: None,
            };
            state.containers.insert(workspace_id.clone(), container);
        }
        there
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn ping(&self) -> Result<(), EngineFailure> {
        Ok(())
    }

    async fn describe(&self) -> Result<EngineInfo, EngineFailure> {
        Ok(info(&self.volumes))
    }

    async fn create_volume(&self, workspace_id: &WorkspaceId) -> Result<PathBuf, EngineFailure> {
        self.remove_workspace(workspace_id).await?;
        let volume = self.volumes.join(workspace_id.as_str());
        fs::create_dir_all(&volume).map_err(|error| EngineFailure {
            action: "make the workspace's volume",
            cause: error.to_string(),
        })?;
        lock(&self.state).workspaces.insert(workspace_id.clone());
        Ok(volume)
    }

    async fn remove_workspace(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure> {
        self.remove_containers(workspace_id).await?;
        lock(&self.state).workspaces.remove(workspace_id);
        // It may not be there.
        let _ = fs::remove_dir_all(self.volumes.join(workspace_id.as_str()));
        Ok(())
    }

    async fn volume(&self, workspace_id: &WorkspaceId) -> Result<Option<PathBuf>, EngineFailure> {
        let is_there = lock(&self.state).workspaces.contains(workspace_id);
        Ok(is_there.then(|| self.volumes.join(workspace_id.as_str())))
    }

    async fn clear_workspace(
        &self,
        workspace_id: &WorkspaceId,
        _: bool,
    ) -> Result<(), EngineFailure> {
        self.remove_containers(workspace_id).await
    }

    async fn remove_images(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        Ok(())
    }

    async fn remove_containers(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure> {
        self.answers().await;
        lock(&self.state).containers.remove(workspace_id);
        Ok(())
    }

    async fn running_containers(&self) -> Result<Vec<String>, EngineFailure> {
        self.answers().await;
        let state = lock(&self.state);
        let running = state.containers.iter();
        let running = running.filter(|(_, container)| container.ended.is_none());
        Ok(running.map(|(id, _)| container_id(id)).collect())
    }

    async fn stop_workspace(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure> {
        self.answers().await;
        let mut state = lock(&self.state);
        state.stops += 1;
        if let Some(container) = state.containers.get_mut(workspace_id) {
            container.ended = Some(KnownContainer {
                exit_code: 143,
                ..KnownContainer::default()
            });
        }
        Ok(())
    }

    async fn start_workspace(
        &self,
        workspace_id: &WorkspaceId,
        _: &str,
        _: &Path,
    ) -> Result<Vec<String>, EngineFailure> {
        self.answers().await;
        let mut state = lock(&self.state);
        state.starts += 1;
        let container = state.containers.get_mut(workspace_id);
        container.expect("a container").ended = None;
        Ok(Vec::new())
    }

    async fn container(
        &self,
        workspace_id: &WorkspaceId,
        _: &str,
    ) -> Result<Option<KnownContainer>, EngineFailure> {
        self.answers().await;
        let state = lock(&self.state);
        let container = state.containers.get(workspace_id);
        let hook = r#"[{"postStartCommand": "true", "waitFor": "postStartCommand"}]"#;
        Ok(container.map(|container| KnownContainer {
            running: container.ended.is_none(),
            devcontainer_metadata: Some(hook.to_owned()),
            ..container.ended.clone().unwrap_or_default()
        }))
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, EngineFailure> {
        self.answers().await;
        Ok(lock(&self.state).workspaces.iter().cloned().collect())
    }

    async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineFailure> {
        self.answers().await;
        let state = lock(&self.state);
        Ok(state.images.get(image).map(|image| LocalImage {
            id: image.digest().to_string(),
            ..LocalImage::default()
        }))
    }

    async fn file_of_image(
        &self,
        _: &WorkspaceId,
        _: &str,
        _: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure> {
        Ok(None)
    }

    async fn file_of_container(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, EngineFailure> {
        Ok(None)
    }

    async fn write_to_container(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &[u8],
        _: Owner,
    ) -> Result<(), EngineFailure> {
        Ok(())
    }

    async fn give_volume(&self, _: &WorkspaceId, _: &str, _: Owner) -> Result<(), EngineFailure> {
        Ok(())
    }

    async fn open_network(&self, _: &WorkspaceId) -> Result<ContainerNetwork, EngineFailure> {
        Err(EngineFailure {
            action: "make a network for commands",
            cause: "it has none".to_owned(),
        })
    }

    async fn close_network(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        Ok(())
    }

    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineFailure> {
        let mut state = lock(&self.state);
        let by_id = || {
            let mut images = state.images.values();
            images.find(|known| known.digest().as_str() == image)
        };
        let named = state.images.get(image).or_else(by_id).cloned();
        let named = named.ok_or(EngineFailure {
            action: "name the image",
            cause: format!("there is no {image}"),
        })?;
        state.images.insert(format!("{repository}:{tag}"), named);
        Ok(())
    }

    async fn remove_image(&self, image: &str) -> Result<(), EngineFailure> {
        lock(&self.state).images.remove(image);
        Ok(())
    }

    async fn images(&self) -> Result<Vec<StoredImage>, EngineFailure> {
        self.answers().await;
        let state = lock(&self.state);
        let mut images: BTreeMap<Digest, StoredImage> = BTreeMap::new();
        for (name, image) in &state.images {
            let digest = image.digest();
            let image = images.entry(digest.clone()).or_insert_with(|| StoredImage {
                id: digest.to_string(),
                bytes: BYTES,
                ..StoredImage::default()
            });
            if name.contains('@') {
                image.digests.push(name.clone());
            } else {
                image.tags.push(name.clone());
            }
        }
        Ok(images.into_values().collect())
    }

    async fn images_of_containers(&self) -> Result<BTreeSet<String>, EngineFailure> {
        let state = lock(&self.state);
        let images = state.containers.values();
        let ids = images.filter_map(|container| state.images.get(&container.image));
        Ok(ids.map(|image| image.digest().to_string()).collect())
    }

    async fn prune_build_cache(&self, _: Duration) -> Result<u64, EngineFailure> {
        Ok(0)
    }

    async fn pull(
        &self,
        image: &str,
        _: Option<&Login>,
        _: FindNear<'_>,
        _: OnTransfer<'_>,
    ) -> Result<Pulled, TransferError> {
        let fetched = self
            .registry
            .find(image)
            .map_err(|error| TransferError::NotFound(error.to_string()))?;
        let mut state = lock(&self.state);
        state.images.insert(image.to_owned(), fetched);
        state.pulls += 1;
        Ok(Pulled {
            transfer: Transfer {
                done: BYTES,
                total: BYTES,
                ..Transfer::default()
            },
            ..Pulled::default()
        })
    }

    async fn push(
        &self,
        image: &Outgoing<'_>,
        _: Option<&Login>,
        _: OnTransfer<'_>,
    ) -> Result<Pushed, TransferError> {
        let Outgoing {
            repository, tag, ..
        } = image;
        let name = format!("{repository}:{tag}");
        let mut state = lock(&self.state);
        let image = state
            .images
            .get(&name)
            .cloned()
            .ok_or_else(|| TransferError::Failed(format!("there is no {name}")))?;
        let image = state.moved.take().unwrap_or(image);
        self.registry.put(&name, &image);
        let name = format!("{repository}@{}", image.digest());
        state.images.insert(name, image);
        Ok(Pushed {
            transfer: Transfer {
                done: BYTES,
                total: BYTES,
                ..Transfer::default()
            },
            ..Pushed::default()
        })
    }
}
