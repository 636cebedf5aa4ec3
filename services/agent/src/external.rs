//! Everything outside of the agent's process that an attempt works with. Each external has a module with a narrow trait
//! and the implementation that the agent uses. Tests put fakes behind the traits.

pub mod control_plane;
pub mod devcontainer;
pub mod engine;
pub mod git;
pub mod process;
pub mod registry;
pub mod sandbox;

use std::sync::Arc;

use control_plane::{CacheIndex, ControlPlaneClient, Credentials};
use devcontainer::Devcontainer;
use engine::{Engine, Execs};
use git::Git;
use registry::Registry;

/// All externals.
#[derive(Clone)]
pub struct Externals {
    /// The container engine.
    pub engine: Arc<dyn Engine>,
    /// Git.
    pub git: Arc<dyn Git>,
    /// The devcontainer CLI.
    pub devcontainer: Arc<dyn Devcontainer>,
    /// Container registries.
    pub registry: Arc<dyn Registry>,
    /// The control plane's index of the cache.
    pub index: Arc<dyn CacheIndex>,
    /// The control plane's source of logins.
    pub credentials: Arc<dyn Credentials>,
}

/// The externals that do not depend on the control plane.
#[derive(Clone)]
pub struct NodeExternals {
    /// The container engine.
    pub engine: Arc<dyn Engine>,
    /// Commands in its containers.
    pub execs: Arc<dyn Execs>,
    /// Git.
    pub git: Arc<dyn Git>,
    /// The devcontainer CLI.
    pub devcontainer: Arc<dyn Devcontainer>,
    /// Container registries.
    pub registry: Arc<dyn Registry>,
}

impl NodeExternals {
    /// Adds the externals that are behind this control plane.
    pub fn with_control_plane(self, control_plane: &ControlPlaneClient) -> Externals {
        let Self {
            engine,
            execs: _,
            git,
            devcontainer,
            registry,
        } = self;
        Externals {
            engine,
            git,
            devcontainer,
            registry,
            index: Arc::new(control_plane.clone()),
            credentials: Arc::new(control_plane.clone()),
        }
    }
}
