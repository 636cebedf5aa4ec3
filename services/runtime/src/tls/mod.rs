//! TLS by rustls: the port of a server, whose certificate and whose trust in clients can be exchanged while it serves; the
//! connection to a server; files that are read again when they change.

mod client;
mod client_certificate;
mod files;
mod handshakes;
mod material;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use client::{ClientTls, ServerTrust, refused_server};
pub use client_certificate::read as read_certificate;
pub use files::{PolledFiles, read_small};
pub(crate) use handshakes::handshakes;
pub use material::{Authorities, KeyedCertificate, TlsError, private_key};
pub use server::ServerTls;

/// HTTP/2, by which gRPC is spoken.
const ALPN: &[u8] = b"h2";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
