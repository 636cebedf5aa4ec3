//! What attempts work with, for tests.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use hearth_api::v1::ImageStore;
use hearth_domain::{CacheAccess, CacheReference, Fallback, GitRef, Spec};
use hearth_runtime::{Metrics, Tasks};

use super::{
    context::Context,
    disks::Disks,
    halts::Halts,
    job::{CacheUse, Job},
    node::NodeFacts,
    run::Runner,
};
use crate::{
    attempt::{AttemptLog, Recorder},
    build_log::BuildLogs,
    credentials::{
        GitAccess, Logins,
        fake::{FakeCredentials, attempt, no_logins},
    },
    disk::{DiskKeeper, DiskMetrics, ImagesInUse, Space, Watermarks},
    door::{Doors, OwnImages},
    engine_health::EngineHealth,
    external::{
        Externals,
        control_plane::{ControlPlaneClient, LoginPurpose},
        devcontainer::DevcontainerCli,
        engine::fake::FakeEngine,
        git::GitCli,
        registry::OciRegistry,
        sandbox::Sandbox,
    },
    leftovers::Leftovers,
    metrics::AgentMetrics,
    owners::Owners,
    policy::{HostAccess, Policy},
    scratch::{Leftover, Scratch},
    secrets::HeldSecrets,
};

/// The newest image of [`World`]'s repository.
pub(super) const IMAGE: &str =
    "localhost:1/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// These two, and a control plane that cannot be reached.
pub(super) fn externals(engine: FakeEngine, credentials: Arc<FakeCredentials>) -> Externals {
    let nowhere = tonic::transport::Endpoint::from_static("http://127.0.0.1:1");
    Externals {
        engine: Arc::new(engine),
        git: Arc::new(GitCli::default()),
        devcontainer: Arc::new(DevcontainerCli::new(Sandbox::of_tests(), "false".into())),
        registry: Arc::new(OciRegistry::new("linux/amd64".parse().unwrap())),
        index: Arc::new(ControlPlaneClient::new(nowhere)),
        credentials,
    }
}

/// A node that keeps its state in `dir`, and never frees its disk.
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
        audit_percent: 0,
        build_logs: BuildLogs::new(dir.join("build-logs"), Tasks::default()),
        disk: Arc::new(DiskKeeper::new(
            || Ok(Space::default()),
            never,
            images.clone(),
            dir,
            DiskMetrics::default(),
        )),
        images,
        neighbourhood: None,
        engine: EngineHealth::default(),
        data_root: dir.to_owned(),
        policy: Policy {
            host_access: HostAccess::Trusted,
            open_doors: [].into(),
        },
    }
}

/// A runner of attempts on such a node, without logins.
pub(crate) fn runner(engine: FakeEngine, dir: &Path, tasks: &Tasks) -> Runner {
    let credentials = FakeCredentials::answering([]);
    let git_access = GitAccess::new(dir.join("workspaces"), credentials.clone(), tasks.clone());
    let (metrics, on_engine) = (Metrics::default(), Arc::new(engine.clone()));
    Runner {
        leftovers: Arc::new(Leftovers::new(
            on_engine,
            git_access.clone(),
            Owners::load(dir, Duration::MAX, &metrics),
            &metrics,
        )),
        doors: Doors::to("unix:///nowhere"),
        node: Arc::new(node(dir)),
        externals: externals(engine, credentials),
        attempts_dir: dir.join("attempts"),
        git_access,
        metrics: AgentMetrics::new(&metrics),
        halts: Halts::default(),
    }
}

/// What a context borrows from.
pub(super) struct World {
    pub engine: FakeEngine,
    job: Job,
    pub node: NodeFacts,
    pub externals: Externals,
    pub log: Arc<AttemptLog>,
    recorder: Recorder,
    pub scratch: Scratch,
    logins: Logins,
    _dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
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
                git: hearth_domain::GitOptions::default(),
                fallback: Fallback::DefaultImage,
            },
            cache: Ok(CacheUse {
                reference: CacheReference::from_parts(repository, "devcontainer-cache").unwrap(),
                writable: true,
                newest_digest: Some(digest.parse().unwrap()),
                newest_of_services: [].into(),
            }),
            trusted: true,
            host_access: None,
            cache_mounts: "ns".to_owned(),
            control_plane: String::new(),
            keep_clone: false,
            no_cache: false,
            default_image: None,
            start: None,
        };
        let dir = tempfile::tempdir().unwrap();
        let engine = FakeEngine::default();
        let log = Arc::new(AttemptLog::new(1));
        Self {
            externals: externals(engine.clone(), credentials.clone()),
            engine,
            node: node(dir.path()),
            recorder: Recorder::new(log.clone(), AgentMetrics::new(&Metrics::default())),
            log,
            scratch: Scratch::create(&Leftover::of(dir.path(), &attempt), None).unwrap(),
            logins: Logins::new(credentials, attempt, LoginPurpose::Attempt, |why| {
                panic!("{why}")
            }),
            job,
            _dir: dir,
        }
    }

    pub fn context(&self) -> Context<'_> {
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
            secrets: HeldSecrets::default(),
            allowed: self.node.policy.allow(true, None),
            disks: Disks::new(self.scratch.path(), self.scratch.path()),
            deadline: tokio::time::Instant::now() + Duration::from_secs(60),
            clone_is_new: AtomicBool::new(false),
        }
    }
}
