//! Images in and out of a registry and an engine.

mod access;
mod client;
mod error;
mod login;
mod rights;
#[cfg(feature = "engine")]
mod transfer;

pub use client::{ImageInfo, Registries, RegistryClient};
pub use error::RegistryError;
pub use login::RegistryLogin;
#[cfg(feature = "engine")]
pub use transfer::{Pulled, Transfer, TransferError, pull, push};
