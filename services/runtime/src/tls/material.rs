use std::{fmt, sync::Arc};

use hearth_domain::sha256_hex;
use pem::Pem;
use tokio_rustls::rustls::{
    self, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{client_certificate::read, provider};
use crate::peer::PeerCertificate;

/// Why certificates or a key are not used. The text completes a sentence that names their files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is none.
    #[error("has no certificate in PEM")]
    NoCertificate,
    /// There is something else.
    #[error("is not a list of certificates in PEM")]
    MalformedCertificates,
    /// There is none, or something else.
    #[error("has no private key in PEM that can be used")]
    NoKey,
    /// They do not fit together.
    #[error("do not fit together: the key is another certificate's")]
    OtherKey,
    /// Anything else that rustls says of them.
    #[error("cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A certificate with those that lead to its CA, and its key.
#[derive(Clone)]
pub struct KeyedCertificate(pub(super) Arc<CertifiedKey>);

impl KeyedCertificate {
    /// Reads both from PEM: the certificate first, then those that lead to its CA.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read, or they do not fit together.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::NoKey)?;
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(both) => Ok(Self(Arc::new(both))),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::OtherKey),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose it is, if it is a node's or a client's.
    pub fn holder(&self) -> Option<PeerCertificate> {
        read(self.certificate())
    }

    fn certificate(&self) -> &[u8] {
        self.0.cert.first().map_or(&[], |certificate| certificate)
    }
}

/// Without the key.
impl fmt::Debug for KeyedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sha256 = sha256_hex(self.certificate());
        f.debug_tuple("KeyedCertificate").field(&sha256).finish()
    }
}

/// Certificates of CAs that are trusted, at least one.
#[derive(Clone, Debug)]
pub struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    pub(super) roots: Arc<RootCertStore>,
}

impl Authorities {
    /// Reads certificates in PEM, one after the other.
    ///
    /// # Errors
    ///
    /// When there is none, or something that is no certificate.
    pub fn from_pem(text: &str) -> Result<Self, TlsError> {
        let certificates = certificates(text)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone())?;
        }
        Ok(Self {
            certificates,
            roots: roots.into(),
        })
    }

    /// The first of them, in DER.
    pub fn first(&self) -> &[u8] {
        self.certificates.first().map_or(&[], |first| first)
    }

    /// The certificates in PEM, and nothing else that their file may have.
    pub fn to_pem(&self) -> String {
        let unix = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let pem = |certificate: &CertificateDer<'_>| {
            pem::encode_config(&Pem::new("CERTIFICATE", certificate.as_ref()), unix)
        };
        self.certificates.iter().map(pem).collect()
    }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match read {
        Err(_) => Err(TlsError::MalformedCertificates),
        Ok(none) if none.is_empty() => Err(TlsError::NoCertificate),
        Ok(some) => Ok(some),
    }
}
