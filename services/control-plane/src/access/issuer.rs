use hearth_domain::Identity;

use crate::error::CallError;

/// What signs certificates of clients.
pub(crate) trait CertificateIssuer: Send + Sync {
    /// A certificate that says `identity`, for the key in a request (PKCS #10, DER), with those above it, as PEM. A request
    /// that cannot be read is a fault of the field `csr`.
    fn issue(&self, identity: &Identity, csr: &[u8]) -> Result<String, CallError>;
}
