//! Logins for git hosts and registries: where they come from, kept while they are good, handed to whoever may have them.
//!
//! A source serves some hosts. The first that has a host gives its logins, so the git host and the cache's registry may
//! have different sources; where both have the same one, it is asked once.

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
pub(crate) use ask::{Ask, Login, Logins, Rights};
pub(crate) use broker::Credentials;
pub(crate) use flags::sources;
pub(crate) use settings::SourceSettings;
