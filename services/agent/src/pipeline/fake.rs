//! What an attempt works with, for tests.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hearth_api::v1::ImageStore;
use hearth_domain::{AttemptRef, Login, WorkspaceId};
use hearth_layers::{Pulled, Transfer, TransferError};
use hearth_runtime::{Metrics, Tasks};
use tokio::sync::Notify;

use super::{node::NodeFacts, run::Runner};
use crate::{
    credentials::GitAccess,
    disk::{DiskKeeper, DiskMetrics, ImagesInUse, Space, Watermarks},
    external::{
        Externals,
        control_plane::{
            ControlPlaneClient, CredentialFailure, Credentials, IssuedLogins, LoginPurpose,
        },
        devcontainer::DevcontainerCli,
        engine::{Engine, EngineFailure, EngineInfo, LocalImage, OnTransfer, StoredImage},
        git::GitCli,
        registry::OciRegistry,
    },
    metrics::AgentMetrics,
};

pub(super) const IMAGE: &str =
    "localhost:1/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(super) const FETCHED: Transfer = Transfer { done: 7, total: 7 };

/// An engine that fetches one image, once it is let, and has no room for volumes. What no test expects panics.
#[derive(Default)]
pub(crate) struct OneImage {
    pub(super) present: AtomicBool,
    pulls: AtomicBool,
    pub(super) began: Notify,
    pub(super) let_go: Notify,
    pub(super) removed: AtomicBool,
    removed_workspaces: Mutex<Vec<String>>,
}

impl OneImage {
    /// The workspaces that were removed.
    pub(crate) fn removed_workspaces(&self) -> Vec<String> {
        self.removed_workspaces.lock().unwrap().clone()
    }
}

#[async_trait]
impl Engine for OneImage {
    async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineFailure> {
        assert_eq!(image, IMAGE);
        let present = self.present.load(Ordering::Relaxed);
        Ok(present.then(LocalImage::default))
    }
    async fn pull(
        &self,
        image: &str,
        _: Option<&Login>,
        progress: OnTransfer<'_>,
    ) -> Result<Pulled, TransferError> {
        assert_eq!(image, IMAGE);
        assert!(!self.pulls.swap(true, Ordering::Relaxed), "a second pull");
        self.began.notify_one();
        self.let_go.notified().await;
        progress(FETCHED);
        Ok(Pulled {
            transfer: FETCHED,
            ..Pulled::default()
        })
    }
    async fn remove_image(&self, image: &str) -> Result<(), EngineFailure> {
        assert_eq!(image, IMAGE);
        self.removed.store(true, Ordering::Relaxed);
        Ok(())
    }
    async fn describe(&self) -> Result<EngineInfo, EngineFailure> {
        unreachable!()
    }
    async fn create_volume(&self, workspace: &WorkspaceId) -> Result<PathBuf, EngineFailure> {
        assert!(!workspace.as_str().starts_with("bug"), "a bug");
        Err(EngineFailure {
            action: "make the volume",
            cause: "no room".to_owned(),
        })
    }
    async fn remove_workspace(&self, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
        self.removed_workspaces
            .lock()
            .unwrap()
            .push(workspace.to_string());
        Ok(())
    }
    async fn remove_containers(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        unreachable!()
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
    async fn tag(&self, _: &str, _: &str, _: &str) -> Result<(), EngineFailure> {
        unreachable!()
    }
    async fn images(&self) -> Result<Vec<StoredImage>, EngineFailure> {
        unreachable!()
    }
    async fn images_of_containers(&self) -> Result<BTreeSet<String>, EngineFailure> {
        unreachable!()
    }
    async fn prune_build_cache(&self, _: Duration) -> Result<u64, EngineFailure> {
        unreachable!()
    }
    async fn push(
        &self,
        _: &str,
        _: &str,
        _: Option<&Login>,
        _: OnTransfer<'_>,
    ) -> Result<Transfer, TransferError> {
        unreachable!()
    }
}

/// A control plane without credentials.
pub(super) struct NoLogins;

#[async_trait]
impl Credentials for NoLogins {
    async fn refresh(
        &self,
        _: &AttemptRef,
        _: LoginPurpose,
        _: Option<&str>,
    ) -> Result<IssuedLogins, CredentialFailure> {
        Ok(IssuedLogins::default())
    }
}

/// `engine`, and a control plane that cannot be reached.
pub(super) fn externals(engine: Arc<OneImage>) -> Externals {
    let nowhere = tonic::transport::Endpoint::from_static("http://127.0.0.1:1");
    Externals {
        engine,
        git: Arc::new(GitCli),
        devcontainer: Arc::new(DevcontainerCli::new("false".into(), String::new())),
        registry: Arc::new(OciRegistry::new("linux/amd64".parse().unwrap())),
        index: Arc::new(ControlPlaneClient::new(nowhere)),
        credentials: Arc::new(NoLogins),
    }
}

/// A node that keeps its state in `dir`, and never makes room on its disk.
pub(super) fn node(dir: &Path) -> NodeFacts {
    let images = ImagesInUse::default();
    let never = Watermarks {
        free_percent: 0,
        headroom_percent: 0,
        keep_build_cache: Duration::ZERO,
    };
    NodeFacts {
        platform: "linux/amd64".parse().unwrap(),
        store: ImageStore::Containerd,
        cli_version: String::new(),
        default_image: String::new(),
        min_free_disk_bytes: 0,
        push_timeout: Duration::ZERO,
        disk: Arc::new(DiskKeeper::new(
            || Ok(Space::default()),
            never,
            images.clone(),
            dir,
            DiskMetrics::default(),
        )),
        images,
    }
}

/// A runner of attempts on such a node.
pub(crate) fn runner(engine: Arc<OneImage>, dir: &Path, tasks: &Tasks) -> Runner {
    Runner {
        node: Arc::new(node(dir)),
        externals: externals(engine),
        attempts_dir: dir.join("attempts"),
        git_access: GitAccess::new(dir.join("workspaces"), Arc::new(NoLogins), tasks.clone()),
        metrics: AgentMetrics::new(&Metrics::default()),
    }
}
