//! Logins for git hosts and registries: their sources, and a cache of issued ones.
//!
//! A source serves some hosts. The first one that serves a host issues its logins, so the git host and the cache's registry
//! may have different sources; if both have the same one, it is asked once.

mod args;
mod ask;
mod broker;
mod counters;
mod fixed;
mod flags;
mod github;
mod hosts;
mod settings;
mod settings_file;
mod source;

pub use args::{CredentialArgs, CredentialKind};
pub(crate) use ask::{Ask, Logins, Rights};
pub(crate) use broker::Credentials;
pub(crate) use flags::sources;
pub(crate) use settings::SourceSettings;
