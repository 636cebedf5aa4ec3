//! The hearth control plane: the service clients talk to.
//!
//! A request for a workspace is checked and placed in [`services`], written into the [`store`], and from there on
//! owned by a driver task that hands it to the node's agent and follows what the agent says. Every event goes through
//! the fold in [`record`], by the rules in [`log`], into one transaction; watchers read the log from the store by
//! sequence. So nothing that is known is only in memory, and a restart takes up where it was.

mod agents;
mod app;
mod cache;
mod cache_target;
mod clock;
mod config;
mod core;
mod credentials;
mod deletion;
mod driver;
mod drivers;
mod error;
mod feeds;
mod fleet;
mod journal;
mod log;
mod metrics;
mod record;
mod services;
mod sessions;
mod store;

pub use app::{Addresses, ControlPlane};
pub use cache::policy::{CacheWriters, WritersParseError};
pub use config::{Config, ConfigError, Database, DatabaseParseError};
pub use credentials::{CredentialArgs, CredentialKind};
