use std::io;

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
    /// Nobody waits for it any more.
    #[error("it was given up")]
    GivenUp,
    /// The machine.
    #[error(transparent)]
    Machine(#[from] io::Error),
}

impl PushError {
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
