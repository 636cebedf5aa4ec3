use hearth_domain::Identity;
use hearth_runtime::FieldFaults;
use tonic::Status;

use crate::{
    error::CallError,
    identity::{Ca, IdentityError},
};

/// What signs certificates of clients.
pub(crate) trait CertificateIssuer: Send + Sync {
    /// A certificate that says `identity`, for the key in a request (PKCS #10, DER), with those above it, as PEM. A request
    /// that cannot be read is a fault of the field `csr`.
    fn issue(&self, identity: &Identity, csr: &[u8]) -> Result<String, CallError>;
}

impl CertificateIssuer for Ca {
    fn issue(&self, identity: &Identity, csr: &[u8]) -> Result<String, CallError> {
        let issued = Self::issue(self, identity, csr);
        let issued = issued.map_err(|error| match error {
            IdentityError::Request(fault) => {
                let mut faults = FieldFaults::default();
                faults.add("csr", fault);
                faults.into_result().err().unwrap_or_else(|| error.into())
            }
            error => error.into(),
        });
        let issued = issued.map_err(|status: Status| CallError::from(status))?;
        Ok(issued.chain_pem)
    }
}
