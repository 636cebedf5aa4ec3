use std::time::Duration;

use hearth_domain::{CacheAccess, CacheReference, GitRef, Spec};

use super::*;
use crate::{
    attempt::{AttemptLog, Recorder},
    credentials::{
        Logins,
        fake::{FakeCredentials, attempt, no_logins},
    },
    door::OwnImages,
    external::{
        Externals,
        control_plane::LoginPurpose,
        engine::fake::{FakeEngine, PULLED},
    },
    metrics::AgentMetrics,
    pipeline::{
        CacheUse, Job, NodeFacts,
        disks::Disks,
        fake::{externals, node},
    },
    scratch::Scratch,
};

const IMAGE: &str =
    "localhost:1/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What a context borrows from.
struct World {
    engine: FakeEngine,
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
        let attempt = attempt();
        let credentials = FakeCredentials::answering([no_logins()]);
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
            trusted: true,
            host_access: None,
            cache_mounts: "ns".to_owned(),
            control_plane: String::new(),
        };
        let dir = tempfile::tempdir().unwrap();
        let engine = FakeEngine::default();
        let log = Arc::new(AttemptLog::new(1));
        Self {
            externals: externals(engine.clone(), credentials.clone()),
            engine,
            node: node(dir.path()),
            recorder: Recorder::new(
                log.clone(),
                AgentMetrics::new(&hearth_runtime::Metrics::default()),
            ),
            log,
            scratch: Scratch::create(dir.path(), &attempt, None).unwrap(),
            logins: Logins::new(credentials, attempt, LoginPurpose::Attempt, |why| {
                panic!("{why}")
            }),
            job,
            _dir: dir,
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            files: self.scratch.files(),
            job: &self.job,
            node: &self.node,
            externals: &self.externals,
            recorder: &self.recorder,
            scratch: &self.scratch,
            logins: &self.logins,
            git_access: None,
            images: OwnImages::of(&self.job.attempt.workspace, None),
            allowed: self.node.policy.allow(true, None),
            disks: Disks::new(self.scratch.path(), self.scratch.path()),
            deadline: tokio::time::Instant::now() + Duration::from_secs(60),
        }
    }

    fn removed(&self) -> bool {
        self.engine.lock().removed.contains(IMAGE)
    }
}

#[tokio::test]
async fn a_prefetch_that_is_used_is_one_pull_that_ran_alongside_the_clone() {
    let world = World::new();
    let cx = world.context();
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(world.engine.pull_began.notified()).await;
    assert!(prefetch.is_for(IMAGE) && !prefetch.is_for("another"));
    world.engine.pull_may_end.notify_one();
    assert_eq!(
        prefetch.finish().await,
        Some(Ok(Fetched {
            bytes: PULLED.done,
            ..Fetched::default()
        }))
    );
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
        prefetch.alongside(world.engine.pull_began.notified()).await;
        if complete {
            world.engine.pull_may_end.notify_one();
            while !prefetch.fetch.has_ended() {
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
    world.engine.put(IMAGE, "there before");
    let cx = world.context();
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(tokio::task::yield_now()).await;
    prefetch.cancel(&cx).await;
    assert!(!world.removed());

    let world = World::new();
    let cx = world.context();
    let other = world.node.images.enter(IMAGE);
    let mut prefetch = Prefetch::start(&cx);
    prefetch.alongside(world.engine.pull_began.notified()).await;
    prefetch.cancel(&cx).await;
    assert!(!world.removed());
    drop(other);
}
