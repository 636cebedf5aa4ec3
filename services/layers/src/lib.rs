//! Images in and out of a registry and an engine.

mod registry;
#[cfg(feature = "engine")]
mod transfer;

pub use registry::{ImageInfo, RegistryClient, RegistryError, RegistryLogin, innermost};
#[cfg(feature = "engine")]
pub use transfer::{Pulled, Transfer, TransferError, pull, push};
