//! Whole-system tests: real engines, a real registry, real git, the real devcontainer CLI, and hearth's own
//! binaries as processes. One module for each promise.

#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "tests; benchmarks use the same support"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "scenarios/app.rs"]
mod app;

#[path = "scenarios/cache.rs"]
mod cache;
#[path = "scenarios/configurations.rs"]
mod configurations;
#[path = "scenarios/credentials.rs"]
mod credentials;
#[path = "scenarios/disk.rs"]
mod disk;
#[path = "scenarios/git_in_workspace.rs"]
mod git_in_workspace;
#[path = "scenarios/leaks.rs"]
mod leaks;
#[path = "scenarios/private_cache.rs"]
mod private_cache;
#[path = "scenarios/push.rs"]
mod push;
#[path = "scenarios/registry_faults.rs"]
mod registry_faults;
#[path = "scenarios/requests.rs"]
mod requests;
#[path = "scenarios/restarts.rs"]
mod restarts;
#[path = "scenarios/stand_in/mod.rs"]
mod stand_in;
#[path = "scenarios/tools.rs"]
mod tools;
#[path = "scenarios/trust.rs"]
mod trust;
