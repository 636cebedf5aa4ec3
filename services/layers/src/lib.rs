//! Images in and out of a registry and an engine.

mod access;
mod client;
mod error;
mod rights;
#[cfg(feature = "engine")]
mod transfer;

pub use client::{ImageDescription, ImageInfo, Registries, RegistryClient};
pub use error::RegistryError;
#[cfg(feature = "engine")]
pub use transfer::{Pulled, Transfer, TransferError, pull, push};
