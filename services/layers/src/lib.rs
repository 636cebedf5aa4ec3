//! Images in and out of a registry and an engine.

mod registry;
mod transfer;

pub use registry::{ImageInfo, RegistryClient, RegistryError, RegistryLogin};
pub use transfer::{Pulled, Transfer, TransferError, pull, push};
