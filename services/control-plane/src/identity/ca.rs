use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hearth_domain::{Identity, sha256_hex};
use hearth_runtime::tls::{Authorities, KeyedCertificate};
use parking_lot::RwLock;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use x509_parser::{
    certification_request::X509CertificationRequest, prelude::FromDer as _,
    public_key::PublicKey as Key,
};

use super::{
    args::TlsName,
    ca_files::{Authority, CaError, CaFiles},
    error::{IdentityError, RequestFault},
};

/// Certificates are valid from some time ago: the clocks of machines differ, and a node whose clock is behind has to believe the
/// certificate of the port.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// How long a certificate of the port is valid. It is in memory alone, and clients' clocks may be far off.
const PORT: Duration = Duration::from_secs(7 * 24 * 3600);
const SERIAL_BYTES: usize = 16;
const MIN_RSA_BITS: usize = 2048;

/// The CA of the fleet, as its files are now.
pub(crate) struct Ca {
    files: CaFiles,
    /// How long certificates of nodes and clients are valid.
    life: Duration,
    authority: RwLock<Arc<Authority>>,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// In PEM: the certificate, and that of the CA.
    pub(crate) chain_pem: String,
    /// When it expires.
    pub(crate) not_after: SystemTime,
    /// How long that is from now.
    pub(crate) life: Duration,
}

impl Ca {
    /// The CA in these files, which are made where there are none.
    pub(super) fn open(files: CaFiles, life: Duration) -> Result<Self, CaError> {
        files.make_missing()?;
        let authority = RwLock::new(Arc::new(files.read()?));
        Ok(Self {
            files,
            life,
            authority,
        })
    }

    /// The CA whose two files are in a folder.
    pub(crate) fn in_folder(folder: &Path, life: Duration) -> anyhow::Result<Self> {
        let files = CaFiles {
            certificate: folder.join("ca.pem"),
            key: folder.join("ca-key.pem"),
        };
        Ok(Self::open(files, life)?)
    }

    /// What is in the files now. It counts from [`Self::take`] on.
    pub(super) fn read_again(&self) -> Result<Authority, CaError> {
        self.files.read()
    }

    /// Issues by this from now on.
    pub(super) fn take(&self, authority: Authority) {
        *self.authority.write() = Arc::new(authority);
    }

    /// What issues now.
    pub(super) fn authority(&self) -> Arc<Authority> {
        self.authority.read().clone()
    }

    /// Issues a certificate for whose public key is in the certification request (PKCS #10, DER). Nothing else of it counts.
    pub(crate) fn issue(
        &self,
        identity: &Identity,
        csr_der: &[u8],
    ) -> Result<Issued, IdentityError> {
        let uri = identity.to_string();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        params.distinguished_name = DistinguishedName::new();
        let names = &mut params.distinguished_name;
        names.push(DnType::OrganizationName, "hearth");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        sign(&self.authority(), params, &public_key(csr_der)?, self.life)
    }

    /// Whose certificates are trusted. The first of them issues.
    pub(crate) fn trusted(&self) -> Authorities {
        self.authority.read().trusted.clone()
    }

    /// The SHA-256 of the certificate of who issues, in hex: what nodes know the control plane by before they have joined.
    pub(crate) fn fingerprint(&self) -> String {
        sha256_hex(self.authority.read().trusted.first())
    }
}

/// Issues a certificate for the port, with a key of its own.
pub(super) fn issue_port(
    authority: &Authority,
    names: &[TlsName],
) -> anyhow::Result<KeyedCertificate> {
    let names: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let subject = &mut params.distinguished_name;
    subject.push(DnType::OrganizationName, "hearth");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let issued = sign(authority, params, &key, PORT)?;
    Ok(KeyedCertificate::from_pem(
        &issued.chain_pem,
        &key.serialize_pem(),
    )?)
}

fn sign(
    authority: &Authority,
    mut params: CertificateParams,
    key: &impl PublicKeyData,
    life: Duration,
) -> Result<Issued, IdentityError> {
    let now = SystemTime::now();
    if authority.not_after <= now {
        return Err(IdentityError::CaExpired);
    }
    let not_after = authority.not_after.min(now + life);
    params.not_before = (now - BACKDATED).into();
    params.not_after = not_after.into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial()?);
    let certificate = params.signed_by(key, &authority.issuer)?;
    // Who knows the CA by its digest alone has to get it.
    let chain_pem = certificate.pem() + &first_pem(&authority.trusted.to_pem());
    Ok(Issued {
        chain_pem,
        not_after,
        life: not_after.duration_since(now).unwrap_or_default(),
    })
}

/// The SHA-256 of the public key of a certification request that is in order, in hex.
pub(super) fn key_digest(csr_der: &[u8]) -> Result<String, IdentityError> {
    Ok(sha256_hex(public_key(csr_der)?.der_bytes()))
}

/// The public key of a certification request, after a look at what it proves: that who sends it has the key.
fn public_key(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, IdentityError> {
    let fault = IdentityError::Request;
    let (rest, request) =
        X509CertificationRequest::from_der(csr_der).map_err(|_| fault(RequestFault::Malformed))?;
    if !rest.is_empty() {
        return Err(fault(RequestFault::Malformed));
    }
    let key = &request.certification_request_info.subject_pki;
    // Of a short RSA key the signature would not be looked at.
    if matches!(key.parsed(), Ok(Key::RSA(rsa)) if rsa.key_size() < MIN_RSA_BITS) {
        return Err(fault(RequestFault::Key));
    }
    request
        .verify_signature()
        .map_err(|_| fault(RequestFault::NotSigned))?;
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| fault(RequestFault::Key))
}

fn serial() -> Result<SerialNumber, IdentityError> {
    let mut bytes = [0; SERIAL_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| crate::error::CallError::NoRandomness(error.to_string()))?;
    // A serial number is positive.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// The first of some certificates in PEM.
fn first_pem(pem: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let length = pem.find(END).map_or(pem.len(), |at| at + END.len());
    format!("{}\n", &pem[..length])
}

#[cfg(test)]
#[path = "ca_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "ca_brought_tests.rs"]
mod brought_tests;
