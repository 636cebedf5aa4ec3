//! The hearth control plane: the service that clients call.
//!
//! A request for a workspace is checked in [`services`], placed and written into the [`store`] by [`workspace`], and from
//! there on owned by a driver task that hands it to the node's agent and follows the agent's events. Every event goes
//! through the rules in [`record`] into one transaction; watchers read the log from the store by sequence. The memory holds
//! nothing that the store does not have, so a restart loses nothing.
//!
//! Imports run one way, from the top: `app` and [`fuzzing`], `signers`, [`services`], [`probe`], [`repositories`], [`enter`], [`workspace`], [`access`], [`cache`],
//! [`credentials`], [`identity`] and [`node`], `upkeep`, `metrics` and `error`, [`store`], [`record`], `clock`.

mod access;
mod app;
mod cache;
mod clock;
mod config;
mod credentials;
mod detached;
mod enter;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod metrics;
mod node;
mod probe;
mod record;
mod repositories;
mod secrets;
mod services;
mod signers;
mod store;
mod upkeep;
mod workspace;

pub use app::{Addresses, ControlPlane};
pub use cache::{CacheWriters, WritersParseError};
pub use config::{Config, ConfigError, Database, DatabaseParseError};
pub use credentials::{CredentialArgs, CredentialKind};
pub use identity::{CertificateLife, IdentityArgs};
pub use workspace::{
    DefaultImages, DefaultImagesParseError, HostAccessParseError, HostAccessRules,
};
