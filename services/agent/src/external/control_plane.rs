//! The control plane's services for agents: registration, the index of the cache, logins.

mod cache_api;
mod cache_index;
mod client;
mod credentials;
mod earlier_image;
mod neighbours;
mod pauses;
mod retries;
mod session;
mod trusted_keys;
mod unsent;

pub use cache_api::{
    CacheIndex, Dropped, IndexFailure, OnWait, PushedImage, Question, ReadableCache, Resolution,
};
pub use client::{ControlPlaneClient, patient};
pub use credentials::{
    CredentialFailure, Credentials, IssuedLogins, IssuedSecrets, LoginProblem, LoginPurpose,
};
pub use pauses::pauses;
pub use retries::Retries;
pub use session::Session;
pub use trusted_keys::TrustedKeys;
pub use unsent::sent;
