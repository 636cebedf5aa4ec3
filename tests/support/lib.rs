//! What the tests of the whole system share: engines, a registry, git, control plane and agents as processes, all on
//! loopback and all gone when a test ends, and a stand-in for each party that cannot run here.

#![allow(
    missing_docs,
    reason = "what only tests see has a comment where its name does not say enough"
)]

pub mod agent;
pub mod app;
pub mod client;
pub mod control_plane;
pub mod curl;
pub mod footprint;
pub mod ghcr;
pub mod git;
pub mod github;
pub mod images;
pub mod lab;
pub mod leaks;
pub mod process;
pub mod proxy;
pub mod registry;
pub mod vm;

pub use agent::Agent;
pub use client::Client;
pub use control_plane::ControlPlane;
pub use git::{GitServer, Repo};
pub use github::GitHub;
pub use lab::Lab;
pub use proxy::Proxy;
pub use registry::Registry;
pub use vm::Vm;
