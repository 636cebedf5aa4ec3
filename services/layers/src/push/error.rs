use std::{
    io,
    path::{Path, PathBuf},
};

use hearth_domain::Digest;

use crate::{ContainerdError, RegistryError, TransferError};

/// Why hearth did not push an image.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The engine's containerd.
    #[error(transparent)]
    Containerd(#[from] ContainerdError),
    /// It is not the manifest of an image of one platform, or has layers of an unknown kind.
    #[error("the image {0} has an unknown form in the engine's store")]
    Unknown(String),
    /// A layer cannot be read.
    #[error("the layer {digest} in the engine's store: {cause}")]
    Layer {
        /// Digest of its blob.
        digest: Digest,
        /// What happened.
        cause: io::Error,
    },
    /// A layer has not the digest that the image's configuration says.
    #[error(
        "the layer {0} in the engine's store has other content than the image's configuration says"
    )]
    WrongLayer(Digest),
    /// What is sent has no room to wait for that.
    #[error(
        "{cause} on the disk of {}, where layers wait until they are sent: make room there, or let the agent leave less of it free (--min-free-disk-mib, HEARTH_MIN_FREE_DISK_MIB)",
        folder.display()
    )]
    NoRoom {
        /// A folder on that disk.
        folder: PathBuf,
        /// What happened.
        cause: io::Error,
    },
    /// Nobody waits for it any more.
    #[error("it was given up")]
    GivenUp,
    /// The machine.
    #[error(transparent)]
    Machine(#[from] io::Error),
}

impl PushError {
    /// What it is when layers wait in `folder` to be sent. Nothing else of a push is written to a disk.
    pub(super) fn of(self, folder: &Path) -> Self {
        let is_full = |cause: &io::Error| {
            let kind = cause.kind();
            matches!(
                kind,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        match self {
            Self::Layer { cause, .. } | Self::Machine(cause) if is_full(&cause) => Self::NoRoom {
                folder: folder.to_owned(),
                cause,
            },
            other => other,
        }
    }

    /// Whether it is a registry's refusal of rights, which the engine would get as well.
    pub fn refusal(&self) -> Option<TransferError> {
        match self {
            Self::Registry(RegistryError::Denied(why)) => Some(TransferError::Denied(why.clone())),
            Self::Registry(error @ RegistryError::LoginFailed) => {
                Some(TransferError::LoginFailed(error.to_string()))
            }
            _ => None,
        }
    }
}
