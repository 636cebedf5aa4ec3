//! The control plane as the agent sees it: registration, the index of the cache, logins.

mod cache_index;
mod client;
mod credentials;
mod session;

pub use cache_index::{CacheIndex, IndexFailure, OnWait, PushedImage, Resolution};
pub use client::ControlPlaneClient;
pub use credentials::{CredentialFailure, Credentials, IssuedLogins, LoginProblem, LoginPurpose};
pub use session::Session;
