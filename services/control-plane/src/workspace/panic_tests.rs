//! A bug in a task ends this task, and what it was for goes on.

use std::sync::atomic::Ordering;

use hearth_api::v1::{FailureReason, WorkspaceState};
use hearth_runtime::Metrics;
use tonic::{Code, Status};

use super::*;
use crate::{
    cache::{CacheMounts, CacheRules, Reports, Waiting},
    metrics::Counters,
    record::asked_for,
    store::{Load, Sqlite},
    workspace::{DefaultImages, Driving, Feeds, HostAccessRules},
};

const LEASE: Duration = Duration::from_secs(30);

/// A workspace on a node that no agent ever registered.
struct Lab {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    drivers: Arc<Drivers>,
    deletions: Arc<Deletions>,
    feeds: Arc<Feeds>,
    id: WorkspaceId,
    _directory: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> = Arc::new(Sqlite::of_test(directory.path()).await);
        let rules = Arc::new(CacheRules {
            registry: "registry.example".parse().expect("a registry"),
            writers: "*".parse().expect("patterns"),
        });
        let (tasks, feeds) = (Tasks::default(), Arc::new(Feeds::default()));
        let journal = Arc::new(Journal::new(
            store.clone(),
            feeds.clone(),
            Arc::new(Counters::register(&Metrics::default())),
            Arc::new(Waiting::new(LEASE)),
            Reports::new(store.clone(), rules.clone()),
        ));
        let fleet = Arc::new(Fleet::new(LEASE, Vec::new()));
        let agents = Arc::new(Agents::default());
        let cache_mounts = CacheMounts::load(&*store).await.expect("names");
        let driving = Driving {
            store: store.clone(),
            journal: journal.clone(),
            fleet: fleet.clone(),
            agents: agents.clone(),
            rules,
            host_access: HostAccessRules::default(),
            default_images: DefaultImages::default(),
            cache_mounts,
        };
        let drivers = Arc::new(Drivers::new(driving, tasks.clone()));
        let deletions = Deletions::new(
            store.clone(),
            journal.clone(),
            drivers.clone(),
            fleet,
            agents,
            tasks,
        );
        let record = asked_for("ws-1");
        let id = record.id.clone();
        let on_n1 = |_: &[Load]| Some("n1".to_owned());
        store
            .create(record, None, &on_n1)
            .await
            .expect("a workspace");
        journal.panics.store(true, Ordering::SeqCst);
        Self {
            store,
            journal,
            drivers,
            deletions: Arc::new(deletions),
            feeds,
            id,
            _directory: directory,
        }
    }

    fn has_panicked(&self) -> bool {
        !self.journal.panics.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_driver_that_panics_starts_again_and_the_attempt_gets_its_end() {
    let lab = Lab::new().await;
    let mut news = lab.feeds.subscribe(&lab.id);
    lab.drivers.start(&lab.id);
    news.changed().await.expect("the end of the attempt");
    assert!(lab.has_panicked());
    let record = lab.store.workspace(&lab.id).await.expect("a read");
    let workspace = record.expect("a workspace").workspace;
    assert!(workspace.settled);
    let failure = workspace.failure.expect("a failure");
    assert_eq!(failure.reason(), FailureReason::NodeLost);
}

#[tokio::test]
async fn a_deletion_that_panics_is_an_internal_error_and_can_be_asked_for_again() {
    let lab = Lab::new().await;
    let (one, two) = tokio::join!(
        lab.deletions.delete(&lab.id, true),
        lab.deletions.delete(&lab.id, true),
    );
    for result in [one, two] {
        let status = Status::from(&*result.expect_err("a panic"));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("planted"), "{status:?}");
    }
    assert!(lab.has_panicked());
    let record = lab.store.workspace(&lab.id).await.expect("a read");
    let state = record.expect("a workspace").workspace.state();
    assert_eq!(state, WorkspaceState::Pending);

    lab.deletions
        .delete(&lab.id, true)
        .await
        .expect("a deletion");
    let record = lab.store.workspace(&lab.id).await.expect("a read");
    assert_eq!(record, None);
}
