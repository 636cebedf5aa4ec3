use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use hearth_api::v1;
use hearth_domain::{AttemptRef, CacheAccess, CacheReference, GitRef, Spec, WorkspaceId};
use hearth_layers::{Pulled, RegistryLogin};
use tokio::sync::Notify;

use super::*;
use crate::{
    attempt::{AttemptLog, Recorder},
    credentials::Logins,
    disk::{DiskKeeper, DiskMetrics, ImagesInUse, Marks, Space},
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
    pipeline::{CacheUse, Job, NodeFacts},
    scratch::Scratch,
};

const IMAGE: &str =
    "localhost:1/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const FETCHED: Transfer = Transfer { done: 7, total: 7 };

/// An engine that fetches one image, once it is let; every other call is a mistake.
#[derive(Default)]
struct OneImage {
    present: AtomicBool,
    pulls: AtomicBool,
    began: Notify,
    let_go: Notify,
    removed: AtomicBool,
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
        _: Option<&RegistryLogin>,
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
    async fn create_volume(&self, _: &WorkspaceId) -> Result<std::path::PathBuf, EngineFailure> {
        unreachable!()
    }
    async fn remove_workspace(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        unreachable!()
    }
    async fn remove_containers(&self, _: &WorkspaceId) -> Result<(), EngineFailure> {
        unreachable!()
    }
    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, EngineFailure> {
        unreachable!()
    }
    async fn file_of_image(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, EngineFailure> {
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
        _: Option<&RegistryLogin>,
        _: OnTransfer<'_>,
    ) -> Result<Transfer, TransferError> {
        unreachable!()
    }
}

/// A control plane without credentials.
struct NoLogins;

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

/// What a context borrows from.
struct World {
    engine: Arc<OneImage>,
    job: Job,
    node: NodeFacts,
    externals: Externals,
    log: Arc<AttemptLog>,
    recorder: Recorder,
    scratch: Scratch,
    logins: Logins,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let attempt = AttemptRef {
            workspace: "ws-1".parse().unwrap(),
            number: 1,
        };
        let (repository, digest) = IMAGE.split_once('@').unwrap();
        let repository = repository.parse().unwrap();
        let job = Job {
            attempt: attempt.clone(),
            spec: Spec {
                repository: "https://github.com/a/b".parse().unwrap(),
                git_ref: GitRef::Default,
                config: None,
                lightweight: false,
                cache_access: CacheAccess::ReadWrite,
                time_limit: None,
            },
            cache: Ok(CacheUse {
                reference: CacheReference::from_parts(repository, "devcontainer-cache").unwrap(),
                writable: true,
                newest_digest: Some(digest.parse().unwrap()),
            }),
        };
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(OneImage::default());
        let log = Arc::new(AttemptLog::new(1));
        let images = ImagesInUse::default();
        let never = Marks {
            free_percent: 0,
            headroom_percent: 0,
            keep_build_cache: Duration::ZERO,
        };
        let nowhere = tonic::transport::Endpoint::from_static("http://127.0.0.1:1");
        Self {
            externals: Externals {
                engine: engine.clone(),
                git: Arc::new(GitCli),
                devcontainer: Arc::new(DevcontainerCli::new("false".into(), String::new())),
                registry: Arc::new(OciRegistry::new("linux/amd64".parse().unwrap())),
                index: Arc::new(ControlPlaneClient::new(nowhere)),
                credentials: Arc::new(NoLogins),
            },
            engine,
            node: NodeFacts {
                platform: "linux/amd64".parse().expect("a platform"),
                store: v1::ImageStore::Containerd,
                cli_version: String::new(),
                default_image: String::new(),
                min_free_disk_bytes: 0,
                push_timeout: Duration::ZERO,
                disk: Arc::new(DiskKeeper::new(
                    || Ok(Space::default()),
                    never,
                    images.clone(),
                    dir.path(),
                    DiskMetrics::default(),
                )),
                images,
            },
            recorder: Recorder::new(
                log.clone(),
                AgentMetrics::new(&hearth_runtime::Metrics::default()),
            ),
            log,
            scratch: Scratch::create(dir.path(), &attempt, None).unwrap(),
            logins: Logins::new(Arc::new(NoLogins), attempt, LoginPurpose::Attempt, |why| {
                panic!("{why}")
            }),
            job,
            _dir: dir,
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            job: &self.job,
            node: &self.node,
            externals: &self.externals,
            recorder: &self.recorder,
            scratch: &self.scratch,
            logins: &self.logins,
            git_access: None,
        }
    }

    fn removed(&self) -> bool {
        self.engine.removed.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_prefetch_that_is_used_is_one_pull_that_ran_alongside_the_clone() {
    let world = World::new();
    let cx = world.context();
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(world.engine.began.notified()).await;
    assert!(prefetch.is_for(IMAGE) && !prefetch.is_for("another"));
    world.engine.let_go.notify_one();
    assert_eq!(prefetch.finish().await, Some(Ok(FETCHED.done)));
    prefetch.cancel(&cx).await;
    assert!(!world.removed(), "what is used stays");
    assert_eq!(
        world.log.after(0, None).events.len(),
        1,
        "its progress is told"
    );
}

#[tokio::test]
async fn a_prefetch_that_is_canceled_leaves_no_image_and_no_event() {
    for complete in [false, true] {
        let world = World::new();
        let cx = world.context();
        let mut prefetch = Prefetch::start(&cx);
        prefetch.alongside(world.engine.began.notified()).await;
        if complete {
            world.engine.let_go.notify_one();
            while prefetch.arrival.is_none() {
                prefetch.alongside(tokio::task::yield_now()).await;
            }
        }
        prefetch.cancel(&cx).await;
        assert!(!prefetch.is_for(IMAGE));
        assert!(world.removed(), "complete: {complete}");
        assert_eq!(world.log.after(0, None).events.len(), 0);
    }
}

#[tokio::test]
async fn a_canceled_prefetch_spares_an_image_that_was_there_or_that_another_attempt_needs() {
    let world = World::new();
    world.engine.present.store(true, Ordering::Relaxed);
    let cx = world.context();
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(tokio::task::yield_now()).await;
    prefetch.cancel(&cx).await;
    assert!(!world.removed());

    let world = World::new();
    let cx = world.context();
    let other = world.node.images.enter(IMAGE);
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(world.engine.began.notified()).await;
    prefetch.cancel(&cx).await;
    assert!(!world.removed());
    drop(other);
}
