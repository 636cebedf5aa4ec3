use hearth_runtime::{Reason, status};
use tonic::Status;

use crate::{error::CallError, store::StoreError};

/// Why somebody is not who it says, or does not become it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error(
        "the certificate of the node is missing, has expired, or is another node's; its agent gets one with a join token (`hearth token create`)"
    )]
    NoCertificate,
    #[error("{0}")]
    Refused(String),
    #[error("certificate_request {0}")]
    Request(RequestFault),
    #[error("there is no join token {0:?}; `hearth token ls` lists them")]
    TokenUnknown(String),
    #[error(
        "this control plane has no CA, so nodes need no token; --ca-certificate and --ca-key give it one"
    )]
    NoCa,
    #[error(
        "the control plane cannot ask the Kubernetes API server whether the node may join; its log says why"
    )]
    NoApiServer,
    #[error(
        "the CA of this control plane has expired, so it issues no certificates; its operator has to give it another one (--ca-certificate, --ca-key)"
    )]
    CaExpired,
    #[error("the certificate cannot be issued: {0}")]
    Issue(#[from] rcgen::Error),
    #[error(transparent)]
    Call(#[from] CallError),
}

/// What is wrong with a certification request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestFault {
    #[error("must be a certification request (PKCS #10, DER)")]
    Malformed,
    #[error("must be signed with its own key")]
    NotSigned,
    #[error("must have a key of P-256, P-384, Ed25519 or RSA (from 2048 bits)")]
    Key,
}

impl From<StoreError> for IdentityError {
    fn from(error: StoreError) -> Self {
        Self::Call(error.into())
    }
}

impl From<IdentityError> for Status {
    fn from(error: IdentityError) -> Self {
        let reason = match &error {
            IdentityError::NoCertificate => Reason::CallerUnknown,
            IdentityError::Refused(_) => Reason::JoinRefused,
            IdentityError::Request(_) => Reason::InvalidField,
            IdentityError::TokenUnknown(_) => Reason::TokenUnknown,
            IdentityError::NoCa => Reason::NotAllowed,
            IdentityError::NoApiServer | IdentityError::CaExpired => Reason::NodeUnavailable,
            IdentityError::Issue(_) => {
                tracing::error!(%error, "a call failed");
                return status(
                    Reason::Internal,
                    "an internal error of the control plane; its log has details",
                );
            }
            IdentityError::Call(error) => return error.into(),
        };
        status(reason, error.to_string())
    }
}
