use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tokio_rustls::rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
};

use super::{
    ALPN,
    client_certificate::OfHearth,
    material::{Authorities, KeyedCertificate, TlsError},
    provider,
};
use crate::{Metrics, Rarely};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes that go on at once; one takes a fraction of a millisecond of the server's time. When more arrive the oldest
/// of the address with the most of them ends.
const HANDSHAKES: usize = 512;

/// TLS of a port: its certificate, and the CAs whose client certificates are let in. Both can be exchanged while it serves;
/// connections that are open stay.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<watch::Sender<Arc<ServerConfig>>>,
    pub(super) refused: Counter,
    pub(super) refusals: Arc<Rarely>,
    pub(super) handshake: Duration,
    pub(super) handshakes: usize,
}

impl ServerTls {
    /// TLS with this certificate, and clients with certificates of these CAs.
    ///
    /// # Errors
    ///
    /// When rustls cannot use them.
    pub fn new(
        own: KeyedCertificate,
        clients: &Authorities,
        metrics: &Metrics,
    ) -> Result<Self, TlsError> {
        let refused = Counter::default();
        metrics.register(|registry| {
            registry.register(
                "tls_handshakes_refused",
                "TLS handshakes that failed, after which nobody was let in",
                refused.clone(),
            );
        });
        Ok(Self {
            config: Arc::new(watch::Sender::new(config(own, clients)?)),
            refused,
            refusals: Arc::default(),
            handshake: HANDSHAKE,
            handshakes: HANDSHAKES,
        })
    }

    /// Exchanges both. Handshakes that begin from now on have the new ones.
    ///
    /// # Errors
    ///
    /// When rustls cannot use them. Then those before stay.
    pub fn exchange(&self, own: KeyedCertificate, clients: &Authorities) -> Result<(), TlsError> {
        self.config.send_replace(config(own, clients)?);
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.config.borrow().clone()
    }
}

fn config(own: KeyedCertificate, clients: &Authorities) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots.clone(), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| {
            TlsError::Unusable(tokio_rustls::rustls::Error::General(error.to_string()))
        })?;
    let verifier: Arc<dyn ClientCertVerifier> = Arc::new(OfHearth(verifier));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own.0)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // No session is resumed: each connection is judged by the certificates and the CAs of its own time.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
