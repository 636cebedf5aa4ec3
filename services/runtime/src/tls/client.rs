use std::{error::Error, io, sync::Arc};

use hearth_domain::sha256_hex;
use hyper_util::rt::TokioIo;
use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
        SignatureScheme,
        client::{
            Resumption, WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
        sign::SingleCertAndKey,
    },
};
use tonic::transport::{Channel, Endpoint, Uri};

use super::{
    ALPN,
    material::{Authorities, KeyedCertificate, TlsError},
    provider,
};

/// Which servers are believed to be the one that was meant. Their certificates have to name it, too.
#[derive(Clone, Debug)]
pub enum ServerTrust {
    /// Those with a certificate of one of these CAs.
    Authorities(Authorities),
    /// Those whose certificate one of these CAs has issued itself. The CAs above that of a control plane are among them where an
    /// operator has brought it, and may have certified those of others.
    Issuers(Authorities),
    /// Those with a certificate of the CA whose own certificate, which they send along, has this SHA-256 (hex).
    Pinned(String),
}

/// TLS of connections to a server. Trust and certificate can be exchanged; connections that are open stay.
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<RwLock<Arc<ClientConfig>>>);

impl ClientTls {
    /// TLS with servers that are trusted, and with this certificate where a server asks for one.
    ///
    /// # Errors
    ///
    /// When rustls cannot use them.
    pub fn new(trust: &ServerTrust, own: Option<&KeyedCertificate>) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(config(trust, own)?))))
    }

    /// Exchanges both for the connections that are made from now on.
    ///
    /// # Errors
    ///
    /// When rustls cannot use them. Then those before stay.
    pub fn exchange(
        &self,
        trust: &ServerTrust,
        own: Option<&KeyedCertificate>,
    ) -> Result<(), TlsError> {
        *self.0.write() = config(trust, own)?;
        Ok(())
    }

    /// The endpoint for a server's `https` URI, to be set up and given to [`Self::channel`]. Its own URI is `http`, since TLS is
    /// made here; requests have the real one.
    pub fn endpoint(uri: &Uri) -> Endpoint {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let plain = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query("/")
            .build();
        Channel::builder(plain.unwrap_or_default()).origin(uri.clone())
    }

    /// Calls to the server. It is connected to at the first one, and again when the connection was lost.
    pub fn channel(&self, endpoint: &Endpoint) -> Channel {
        let tls = self.clone();
        let connect = tower::service_fn(move |uri: Uri| {
            let tls = tls.clone();
            async move { tls.connect(&uri).await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector_lazy(connect)
    }

    pub(super) async fn connect(&self, uri: &Uri) -> io::Result<Box<TlsStream<TcpStream>>> {
        let config = self.0.read().clone();
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
        connection.set_nodelay(true)?;
        let stream = TlsConnector::from(config).connect(name, connection).await?;
        Ok(Box::new(stream))
    }
}

fn config(
    trust: &ServerTrust,
    own: Option<&KeyedCertificate>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder =
        match trust {
            ServerTrust::Authorities(authorities) => {
                builder.with_root_certificates(authorities.roots.clone())
            }
            ServerTrust::Issuers(authorities) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(OfCa::Issuers(verifier(
                    authorities.roots.clone(),
                )?))),
            ServerTrust::Pinned(sha256) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(OfCa::Pinned(sha256.clone()))),
        };
    let mut config = match own {
        Some(own) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.0.clone())))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A session that is resumed has the certificates of the one before.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Why a server was refused by its certificate, in words with what to do, where the library writes it for programmers.
pub fn refused_server(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let error = inner.map_or(error, |inner| inner as &(dyn Error + 'static));
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return match why {
                CertificateError::Other(other) => Some(other.0.to_string()),
                CertificateError::UnknownIssuer => Some(
                    "the server's certificate is not of a CA that is trusted here: the address is wrong, something is in between, or the CA was changed meanwhile"
                        .to_owned(),
                ),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Some(format!("{why}; the clock of this machine may be behind"))
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some(
                    format!("{why}; the clock of this machine may be ahead, or that of the server's behind"),
                ),
                _ => None,
            };
        }
        cause = error.source();
    }
    None
}

/// The server did not send the CA that it has to be of.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server is not of the CA that the join token names (SHA-256 {0}): the address is wrong, something is in between, or the CA was changed since; `hearth token create` names the CA of now"
)]
struct NotOfPinnedCa(String);

fn verifier(roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// Verifies a server by its CA.
#[derive(Debug)]
enum OfCa {
    /// By those who may have issued its certificate.
    Issuers(Arc<WebPkiServerVerifier>),
    /// By one of which only the digest is known before.
    Pinned(String),
}

impl ServerCertVerifier for OfCa {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pin = match self {
            Self::Issuers(issuers) => {
                return issuers.verify_server_cert(certificate, &[], name, ocsp, now);
            }
            Self::Pinned(pin) => pin,
        };
        let pinned = others.iter().find(|other| sha256_hex(other) == *pin);
        let Some(pinned) = pinned else {
            let error = NotOfPinnedCa(pin.clone());
            return Err(CertificateError::Other(OtherError(Arc::new(error))).into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        verifier(roots.into())?.verify_server_cert(certificate, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
