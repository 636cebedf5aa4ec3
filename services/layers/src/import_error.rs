use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use hearth_domain::Digest;

use crate::{ContainerdError, RegistryError, image::Layer, layer::LayerError};

/// An import that does nothing for this long is stuck: as long as for a transfer of the engine.
pub(crate) const STALL: Duration = Duration::from_secs(120);

/// Why an image was not imported. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Only an image that is named by its digest is known to be the one that is meant.
    #[error("{0} is not the name of an image by its digest")]
    NotByDigest(String),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The engine's containerd.
    #[error(transparent)]
    Containerd(#[from] ContainerdError),
    /// A layer cannot be unpacked.
    #[error("the layer {digest}: {cause}")]
    Layer {
        /// Digest of its blob.
        digest: Digest,
        /// What happened.
        cause: LayerError,
    },
    /// A layer has not the digest that the image's configuration says.
    #[error("the layer {digest} has other content than the image's configuration says")]
    WrongLayer {
        /// Digest of its blob.
        digest: Digest,
    },
    /// The disk of the engine is full.
    #[error(
        "no room is left on the disk of {} for the layer {digest}, which has {} MB before it is unpacked: make room there, or give the engine a larger disk",
        folder.display(), bytes.div_ceil(1_000_000)
    )]
    DiskFull {
        /// A folder on that disk.
        folder: PathBuf,
        /// Digest of the layer's blob.
        digest: Digest,
        /// Bytes of the blob.
        bytes: u64,
    },
    /// The layer's other end is gone, and says why.
    #[error("nobody takes the layer any more")]
    NotTaken,
    /// Nothing happened.
    #[error("nothing moved for {} s", STALL.as_secs())]
    Stalled,
    /// Nobody waits for it any more.
    #[error("it was given up")]
    GivenUp,
    /// The machine.
    #[error(transparent)]
    Machine(#[from] io::Error),
}

impl ImportError {
    /// What it is when a layer that is written into `folder` fails by it.
    pub(crate) fn of(self, layer: &Layer, folder: &Path) -> Self {
        let cause = match &self {
            Self::Layer { cause, .. } => Some(cause.cause()),
            Self::Machine(cause) => Some(cause),
            _ => None,
        };
        let kind = cause.map(io::Error::kind);
        match kind {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::DiskFull {
                folder: folder.to_owned(),
                digest: layer.digest.clone(),
                bytes: layer.bytes,
            },
            _ => self,
        }
    }
}
