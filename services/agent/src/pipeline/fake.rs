//! What attempts work with, for tests.

use std::{path::Path, sync::Arc, time::Duration};

use hearth_api::v1::ImageStore;
use hearth_runtime::{Metrics, Tasks};

use super::{node::NodeFacts, run::Runner};
use crate::{
    credentials::{GitAccess, fake::FakeCredentials},
    disk::{DiskKeeper, DiskMetrics, ImagesInUse, Space, Watermarks},
    door::Doors,
    engine_health::EngineHealth,
    external::{
        Externals, control_plane::ControlPlaneClient, devcontainer::DevcontainerCli,
        engine::fake::FakeEngine, git::GitCli, registry::OciRegistry, sandbox::Sandbox,
    },
    leftovers::Leftovers,
    metrics::AgentMetrics,
    owners::Owners,
    policy::{HostAccess, Policy},
};

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
    }
}
