//! Ways for `tests/fuzz` into parsers that the control plane has for itself alone.

use std::{path::Path, time::Duration};

use hearth_domain::Identity;

use crate::identity::Ca;

/// A CA that certification requests are sent to.
pub struct Issuer(Ca);

impl Issuer {
    /// One whose files are in this folder.
    ///
    /// # Errors
    ///
    /// When they cannot be made.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let ca = Ca::in_folder(folder, Duration::from_secs(3600))?;
        Ok(Self(ca))
    }

    /// The certificate, in PEM with that of the CA behind it, that a request (PKCS #10, DER) gets for this identity.
    pub fn issue(&self, identity: &Identity, csr_der: &[u8]) -> Option<String> {
        let issued = self.0.issue(identity, csr_der).ok()?;
        Some(issued.chain_pem)
    }
}
