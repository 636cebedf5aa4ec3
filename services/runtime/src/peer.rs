use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::SystemTime,
};

use hearth_domain::Identity;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

/// Who is at the other end of a connection. Every call that came on one has it in its extensions.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address, as far as the system says.
    pub address: Option<SocketAddr>,
    /// Its certificate, which was verified.
    pub certificate: Option<PeerCertificate>,
}

/// What the certificate of a peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is.
    pub identity: Identity,
    /// SHA-256 of its public key, in hex.
    pub key: String,
    /// When it ends. A connection may live longer; calls on it have to be refused from then on.
    pub not_after: SystemTime,
}

/// A connection that was accepted.
pub(crate) struct Accepted {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    peer: Peer,
}

impl Accepted {
    /// One without TLS.
    pub(crate) fn plain(stream: TcpStream) -> Self {
        let peer = Peer {
            address: stream.peer_addr().ok(),
            certificate: None,
        };
        Self {
            stream: Either::Left(stream),
            peer,
        }
    }

    /// One with TLS.
    pub(crate) fn tls((stream, peer): (Box<TlsStream<TcpStream>>, Peer)) -> Self {
        Self {
            stream: Either::Right(stream),
            peer,
        }
    }
}

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
