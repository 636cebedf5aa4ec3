use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use hearth_domain::sha256_hex;
use hearth_runtime::{
    create_whole,
    tls::{Authorities, TlsError, private_key, read_small},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::prelude::parse_x509_certificate;

/// Where the CA is.
#[derive(Clone, Debug)]
pub(super) struct CaFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What is in these files: who issues, and whose certificates are trusted. The first is who issues.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) trusted: Authorities,
    pub(super) not_after: SystemTime,
}

/// Why there is no CA.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaError {
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("{}: there is none, but there is a key of it: bring both, or neither", .0.display())]
    NoKey(PathBuf),
    #[error("{} {cause}", path.display())]
    Unusable { path: PathBuf, cause: TlsError },
    #[error("{}: the first certificate is not that of a CA", .0.display())]
    NoCa(PathBuf),
    #[error("{}: the first certificate has expired", .0.display())]
    Expired(PathBuf),
    #[error("{} is not the key of the first certificate in {}", .0.key.display(), .0.certificate.display())]
    OtherKey(CaFiles),
    #[error(
        "{}: the first certificate may not sign others (its key usage has no keyCertSign), so nobody would accept what it issues",
        .0.display()
    )]
    MayNotSign(PathBuf),
    #[error("{}: the key cannot be used: it has to be of P-256, P-384, P-521, Ed25519 or RSA", .0.display())]
    UnusableKey(PathBuf),
    #[error("the certificate of the CA cannot be used: {0}")]
    Rcgen(#[from] rcgen::Error),
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const TEN_YEARS: Duration = Duration::from_secs(3652 * 24 * 3600);

impl CaFiles {
    /// Makes both where there is neither. A key alone is what an earlier start has left that was interrupted; a certificate
    /// alone is somebody's mistake.
    pub(super) fn make_missing(&self) -> Result<(), CaError> {
        let is_there = |path: &Path| {
            let there = path.try_exists();
            there.map_err(|cause| file(path, cause))
        };
        if is_there(&self.certificate)? {
            return match is_there(&self.key)? {
                true => Ok(()),
                false => Err(CaError::NoKey(self.key.clone())),
            };
        }
        if !is_there(&self.key)? {
            let key = KeyPair::generate()?.serialize_pem();
            create_whole(&self.key, key.as_bytes(), 0o600)
                .map_err(|cause| file(&self.key, cause))?;
        }
        // Of several control planes that start at once one has made the key, and one makes the certificate.
        let certificate = self_signed(&self.key()?)?;
        create_whole(&self.certificate, certificate.as_bytes(), 0o644)
            .map_err(|cause| file(&self.certificate, cause))
    }

    /// Reads both.
    pub(super) fn read(&self) -> Result<Authority, CaError> {
        let text = read_small(&self.certificate).map_err(|cause| file(&self.certificate, cause))?;
        let trusted = Authorities::from_pem(&text).map_err(|cause| CaError::Unusable {
            path: self.certificate.clone(),
            cause,
        })?;
        let key = self.key()?;
        let (_, first) = parse_x509_certificate(trusted.first())
            .map_err(|_| CaError::NoCa(self.certificate.clone()))?;
        if !first.is_ca() {
            return Err(CaError::NoCa(self.certificate.clone()));
        }
        let usage = first.key_usage().ok().flatten();
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(CaError::MayNotSign(self.certificate.clone()));
        }
        if first.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(CaError::OtherKey(self.clone()));
        }
        let seconds = first.validity().not_after.timestamp();
        let not_after =
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default());
        if not_after < SystemTime::now() {
            return Err(CaError::Expired(self.certificate.clone()));
        }
        Ok(Authority {
            issuer: Issuer::from_ca_cert_der(&trusted.first().into(), key)?,
            trusted,
            not_after,
        })
    }

    fn key(&self) -> Result<KeyPair, CaError> {
        let failed = |cause| file(&self.key, cause);
        let facts = std::fs::metadata(&self.key).map_err(failed)?;
        if facts.permissions().mode() & 0o007 != 0 {
            tracing::warn!(file = %self.key.display(), "every user of this machine can read the key of the CA; chmod 600");
        }
        let text = read_small(&self.key).map_err(failed)?;
        let key = private_key(&text).map_err(|cause| CaError::Unusable {
            path: self.key.clone(),
            cause,
        })?;
        KeyPair::try_from(&key).map_err(|_| CaError::UnusableKey(self.key.clone()))
    }
}

fn file(path: &Path, cause: io::Error) -> CaError {
    CaError::File {
        path: path.to_owned(),
        cause,
    }
}

/// A certificate of a CA that nobody else has issued.
fn self_signed(key: &KeyPair) -> Result<String, rcgen::Error> {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.not_before = (now - DAY).into();
    params.not_after = (now + TEN_YEARS).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Two CAs of a fleet have different names.
    let name = &sha256_hex(key.public_key_raw())[..8];
    params.distinguished_name = DistinguishedName::new();
    let names = &mut params.distinguished_name;
    names.push(DnType::CommonName, format!("hearth CA {name}"));
    Ok(params.self_signed(key)?.pem())
}
