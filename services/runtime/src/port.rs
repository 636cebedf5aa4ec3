use std::io;

use futures_util::{Stream, StreamExt as _};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use crate::{
    peer::Accepted,
    tls::{ServerTls, handshakes},
};

/// A port that is bound, with what is spoken on it.
pub struct Port {
    listener: TcpListener,
    tls: Option<ServerTls>,
}

impl Port {
    /// A port with TLS.
    pub fn with_tls(listener: TcpListener, tls: ServerTls) -> Self {
        Self {
            listener,
            tls: Some(tls),
        }
    }

    /// Its connections.
    pub(crate) fn connections(self) -> impl Stream<Item = io::Result<Accepted>> {
        match self.tls {
            Some(tls) => handshakes(self.listener, tls)
                .map(|shaken| shaken.map(Accepted::tls))
                .left_stream(),
            None => TcpIncoming::from(self.listener)
                .with_nodelay(Some(true))
                .map(|connected| connected.map(Accepted::plain))
                .right_stream(),
        }
    }
}

/// A port without TLS.
impl From<TcpListener> for Port {
    fn from(listener: TcpListener) -> Self {
        Self {
            listener,
            tls: None,
        }
    }
}
