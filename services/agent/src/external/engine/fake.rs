//! An engine in memory, for tests of what works with images. It can create no volume, and a test fails when containers or
//! pushes are asked of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use hearth_domain::{Login, WorkspaceId};
use hearth_layers::{Outgoing, Pulled, Pushed, Transfer, TransferError};
use tokio::sync::Notify;

use crate::clone_files::Owner;

use super::{
    ContainerNetwork, Engine, EngineFailure, EngineInfo, FindNear, KnownContainer, LocalImage,
    OnTransfer, StoredImage,
};

/// Bytes of every image.
pub(crate) const IMAGE_BYTES: u64 = 10;

/// What a pull transfers.
pub(crate) const PULLED: Transfer = Transfer {
    done: 7,
    total: 7,
    layers_done: 1,
    layers_total: 1,
};

/// The engine; clones of it share their images.
#[derive(Clone, Default)]
pub(crate) struct FakeEngine {
    contents: Arc<Mutex<Contents>>,
    /// Hears that a pull has begun.
    pub(crate) pull_began: Arc<Notify>,
    /// Lets a pull end.
    pub(crate) pull_may_end: Arc<Notify>,
}

/// What the engine has, for tests to look at and to change.
#[derive(Default)]
pub(crate) struct Contents {
    /// Ids by name.
    pub(crate) names: BTreeMap<String, String>,
    /// Ids of the images of containers.
    pub(crate) of_containers: BTreeSet<String>,
    /// Image of a container that is made after the next look at the containers.
    pub(crate) of_late_container: Option<String>,
    /// Bytes that builds left behind, by when they were last used, in seconds before now.
    pub(crate) build_cache: BTreeMap<u64, u64>,
    /// Bytes of it that are removed and not yet free.
    pub(crate) promised: u64,
    /// Names of images, and workspaces, that cannot be removed.
    pub(crate) refuses: BTreeSet<String>,
    /// Names that were removed, whether they were there or not.
    pub(crate) removed: BTreeSet<String>,
    /// Whether it does not answer.
    pub(crate) is_down: bool,
    /// Whether it answers pings and does not list its containers.
    pub(crate) hangs: bool,
    /// Whether its list of images fails.
    pub(crate) mute: bool,
    /// Workspaces that were removed, in order.
    pub(crate) removed_workspaces: Vec<String>,
    /// Workspaces of which all but the volume was removed, in order.
    pub(crate) cleared_workspaces: Vec<String>,
    /// Workspaces that were stopped, in order.
    pub(crate) stopped_workspaces: Vec<String>,
    /// Images that were pulled.
    pub(crate) pulled: BTreeSet<String>,
}

impl FakeEngine {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap()
    }

    /// Gives the engine an image under a name.
    pub(crate) fn put(&self, name: &str, id: &str) {
        self.lock().names.insert(name.to_owned(), id.to_owned());
    }

    /// Ids of all images.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.lock().names.values().cloned().collect()
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn ping(&self) -> Result<(), EngineFailure> {
        match self.lock().is_down {
            false => Ok(()),
            true => Err(EngineFailure {
                action: "answer",
                cause: "connection refused".to_owned(),
            }),
        }
    }

    async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineFailure> {
        Ok(self.lock().names.get(image).map(|id| LocalImage {
            id: id.clone(),
            ..LocalImage::default()
        }))
    }

    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineFailure> {
        let id = self.lock().names[image].clone();
        self.put(&format!("{repository}:{tag}"), &id);
        Ok(())
    }

    async fn images(&self) -> Result<Vec<StoredImage>, EngineFailure> {
        let contents = self.lock();
        if contents.mute {
            return Err(EngineFailure {
                action: "list its images",
                cause: "it does not answer".into(),
            });
        }
        let mut images: BTreeMap<&String, StoredImage> = BTreeMap::new();
        for (name, id) in &contents.names {
            let image = images.entry(id).or_insert_with(|| StoredImage {
                id: id.clone(),
                bytes: IMAGE_BYTES,
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
        let mut contents = self.lock();
        let now = contents.of_containers.clone();
        let late = contents.of_late_container.take();
        contents.of_containers.extend(late);
        Ok(now)
    }

    async fn remove_image(&self, image: &str) -> Result<(), EngineFailure> {
        let mut contents = self.lock();
        if contents.refuses.contains(image) {
            return Err(EngineFailure {
                action: "remove the image",
                cause: "a container needs it".into(),
            });
        }
        contents.names.remove(image);
        contents.removed.insert(image.to_owned());
        Ok(())
    }

    async fn prune_build_cache(&self, unused_for: Duration) -> Result<u64, EngineFailure> {
        let mut contents = self.lock();
        let unused = contents.build_cache.split_off(&unused_for.as_secs());
        contents.promised += unused.values().sum::<u64>();
        Ok(unused.values().sum())
    }

    async fn pull(
        &self,
        image: &str,
        _: Option<&Login>,
        _: FindNear<'_>,
        progress: OnTransfer<'_>,
    ) -> Result<Pulled, TransferError> {
        let is_first = self.lock().pulled.insert(image.to_owned());
        assert!(is_first, "a second pull of {image}");
        self.pull_began.notify_one();
        self.pull_may_end.notified().await;
        progress(PULLED);
        self.put(image, "pulled");
        Ok(Pulled {
            transfer: PULLED,
            ..Pulled::default()
        })
    }

    async fn describe(&self) -> Result<EngineInfo, EngineFailure> {
        unreachable!()
    }

    async fn create_volume(&self, workspace: &WorkspaceId) -> Result<PathBuf, EngineFailure> {
        assert!(!workspace.as_str().starts_with("bug"), "a bug");
        Err(EngineFailure {
            action: "make the workspace's volume",
            cause: "there is no room".into(),
        })
    }

    async fn remove_workspace(&self, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
        self.ping().await?;
        let mut contents = self.lock();
        if contents.refuses.contains(workspace.as_str()) {
            return Err(EngineFailure {
                action: "remove the workspace's volume",
                cause: "it is in use".into(),
            });
        }
        contents.removed_workspaces.push(workspace.to_string());
        Ok(())
    }

    async fn volume(&self, _: &WorkspaceId) -> Result<Option<PathBuf>, EngineFailure> {
        Ok(None)
    }

    async fn clear_workspace(&self, workspace: &WorkspaceId, _: bool) -> Result<(), EngineFailure> {
        self.ping().await?;
        self.lock().cleared_workspaces.push(workspace.to_string());
        Ok(())
    }

    async fn remove_images(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        Ok(())
    }

    async fn remove_containers(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        unreachable!()
    }

    async fn stop_workspace(&self, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
        self.ping().await?;
        self.lock().stopped_workspaces.push(workspace.to_string());
        Ok(())
    }

    async fn start_workspace(
        &self,
        _: &WorkspaceId,
        _: &str,
        _: &Path,
    ) -> Result<Vec<String>, EngineFailure> {
        unreachable!()
    }

    async fn container(
        &self,
        _: &WorkspaceId,
        _: &str,
    ) -> Result<Option<KnownContainer>, EngineFailure> {
        Ok(None)
    }

    async fn running_containers(&self) -> Result<Vec<String>, EngineFailure> {
        let hangs = self.lock().hangs;
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(Vec::new())
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, EngineFailure> {
        unreachable!()
    }

    async fn file_of_image(
        &self,
        _: &WorkspaceId,
        _: &str,
        _: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure> {
        unreachable!()
    }

    async fn file_of_container(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, EngineFailure> {
        unreachable!()
    }

    async fn write_to_container(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &[u8],
        _: Owner,
    ) -> Result<(), EngineFailure> {
        unreachable!()
    }

    async fn give_volume(&self, _: &WorkspaceId, _: &str, _: Owner) -> Result<(), EngineFailure> {
        unreachable!()
    }

    async fn open_network(&self, _: &WorkspaceId) -> Result<ContainerNetwork, EngineFailure> {
        unreachable!()
    }

    async fn close_network(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        unreachable!()
    }

    async fn push(
        &self,
        _: &Outgoing<'_>,
        _: Option<&Login>,
        _: OnTransfer<'_>,
    ) -> Result<Pushed, TransferError> {
        unreachable!()
    }
}
