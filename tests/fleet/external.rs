//! Fakes of what an agent works with on its node. They keep everything but clones in memory, and are as strict as the
//! real ones: what was not pushed cannot be pulled, what the engine does not have cannot be started.

mod builds;
mod devcontainer;
mod engine;
mod execs;
mod git;
mod registry;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hearth_agent::external::NodeExternals;

pub use builds::Builds;
pub use engine::{FakeEngine, info};
pub use registry::FakeRegistry;

/// Everything that a node needs but for the control plane; clones go below `volumes`.
pub fn on_node(
    node: &str,
    volumes: &Path,
    registry: &Arc<FakeRegistry>,
    builds: &Arc<Builds>,
) -> (Arc<FakeEngine>, NodeExternals) {
    let engine = Arc::new(FakeEngine::new(volumes, registry.clone()));
    let externals = NodeExternals {
        engine: engine.clone(),
        execs: engine.clone(),
        git: Arc::new(git::FakeGit),
        devcontainer: Arc::new(devcontainer::FakeDevcontainer::new(
            node,
            engine.clone(),
            registry.clone(),
            builds.clone(),
        )),
        registry: registry.clone(),
    };
    (engine, externals)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
