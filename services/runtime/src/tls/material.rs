use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hearth_domain::sha256_hex;
use pem::Pem;
use tokio_rustls::rustls::{
    self, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use x509_parser::prelude::parse_x509_certificate;

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
    /// It cannot be read without a password.
    #[error("has a private key that is encrypted; write it without a password (`openssl pkey`)")]
    EncryptedKey,
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
        let key = private_key(key)?;
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(both) => Ok(Self(Arc::new(both))),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::OtherKey),
            Err(error) => Err(error.into()),
        }
    }

    /// The SHA-256 of the certificate that comes behind it, in hex: that of the CA which has issued it.
    pub fn issuer_fingerprint(&self) -> Option<String> {
        self.0.cert.get(1).map(sha256_hex)
    }

    /// When it ends, by what it says.
    pub fn not_after(&self) -> Option<SystemTime> {
        let (_, certificate) = parse_x509_certificate(self.certificate()).ok()?;
        let seconds = certificate.validity().not_after.timestamp();
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().ok()?))
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

/// Reads a private key from PEM, in any of the forms that tools write (PKCS #8, PKCS #1, SEC 1), whatever else is in the text.
///
/// # Errors
///
/// When there is none that can be used.
pub fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        // `BEGIN ENCRYPTED PRIVATE KEY`, and `Proc-Type: 4,ENCRYPTED` in older ones.
        match text.contains("ENCRYPTED") {
            true => TlsError::EncryptedKey,
            false => TlsError::NoKey,
        }
    })
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

    /// The SHA-256 of each of them, in hex.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(sha256_hex).collect()
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
