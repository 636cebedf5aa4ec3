use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use hearth_domain::{Identity, sha256_hex};
use tokio_rustls::rustls::{
    self, CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_parser::prelude::{GeneralName, parse_x509_certificate};

use crate::peer::PeerCertificate;

/// A certificate of a CA that is trusted, and none that hearth issues.
#[derive(Debug, thiserror::Error)]
#[error("the certificate does not name exactly one node or client of hearth")]
struct NotOfHearth;

/// Reads whose a certificate (DER) is. Whether it is believed is not looked at here.
pub fn read(certificate: &[u8]) -> Option<PeerCertificate> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return None;
    };
    let identity: Identity = uri.parse().ok()?;
    let not_after = certificate.validity().not_after.timestamp();
    let key = sha256_hex(&certificate.public_key().subject_public_key.data);
    Some(PeerCertificate {
        identity,
        key,
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(not_after.try_into().ok()?),
    })
}

/// Lets in who has a certificate of the CA that names a node or a client, and who has none: a client may have a token.
///
/// One of the CAs has to have issued it itself. The file of an operator's CA has the CAs above it, too, and what else these have
/// certified is not hearth's: it might be the CA of another fleet, whose nodes and clients have the same names.
#[derive(Debug)]
pub(super) struct OfHearth(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for OfHearth {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(certificate, &[], now)?;
        match read(certificate) {
            Some(_) => Ok(verified),
            None => Err(CertificateError::Other(OtherError(Arc::new(NotOfHearth))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
