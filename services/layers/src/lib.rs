//! Images in and out of a registry and an engine.

mod access;
mod artifacts;
#[cfg(feature = "engine")]
mod blob;
mod client;
#[cfg(feature = "engine")]
mod containerd;
mod error;
#[cfg(feature = "engine")]
mod frame_index;
#[cfg(feature = "engine")]
mod image;
#[cfg(feature = "engine")]
mod import;
#[cfg(feature = "engine")]
mod import_error;
#[cfg(feature = "engine")]
mod import_layers;
mod index_artifact;
#[cfg(feature = "engine")]
mod layer;
#[cfg(feature = "engine")]
mod mirror;
#[cfg(feature = "engine")]
mod offer;
#[cfg(feature = "engine")]
mod push;
mod referrers;
mod refusal;
mod rights;
#[cfg(feature = "engine")]
mod serve;
#[cfg(feature = "engine")]
mod sources;
#[cfg(feature = "engine")]
mod spool;
#[cfg(feature = "engine")]
mod transfer;

pub use artifacts::{Artifact, Referrer};
pub use client::{ImageDescription, ImageInfo, Registries, RegistryClient};
#[cfg(feature = "engine")]
pub use containerd::ContainerdError;
pub use error::RegistryError;
#[cfg(feature = "engine")]
pub use import::{Importer, Near};
#[cfg(feature = "engine")]
pub use import_error::ImportError;
#[cfg(feature = "engine")]
pub use layer::LayerError;
#[cfg(feature = "engine")]
pub use mirror::Mirror;
#[cfg(feature = "engine")]
pub use offer::{Offer, Offers};
#[cfg(feature = "engine")]
pub use push::{Outgoing, PushError, Pusher};
#[cfg(feature = "engine")]
pub use serve::NeighbourServer;
#[cfg(feature = "engine")]
pub use sources::{BySource, Neighbour};
#[cfg(feature = "engine")]
pub use transfer::{Pulled, Pushed, Transfer, TransferError, Way, pull, push};

/// Ways for tests into what reads and lists layers.
#[cfg(feature = "engine")]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::{layer::fuzzing::*, push::fuzzing::*};
}
