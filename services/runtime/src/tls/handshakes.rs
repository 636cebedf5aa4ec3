use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::TcpIncoming;

use super::{client_certificate, server::ServerTls};
use crate::{peer::Peer, stack::Caller};

/// What came of a connection.
type Shaken = (Box<TlsStream<TcpStream>>, Peer);

/// The connections of a port whose handshakes have succeeded. Each handshake is a task, so that a slow one holds up nobody.
pub(crate) fn handshakes(
    listener: TcpListener,
    tls: ServerTls,
) -> impl Stream<Item = io::Result<Shaken>> {
    let port = TlsPort {
        incoming: TcpIncoming::from(listener).with_nodelay(Some(true)),
        tls,
        under_way: JoinSet::new(),
        oldest_first: VecDeque::new(),
    };
    stream::unfold(port, |mut port| async move {
        let next = port.next().await?;
        Some((next, port))
    })
}

struct TlsPort {
    incoming: TcpIncoming,
    tls: ServerTls,
    under_way: JoinSet<Option<Shaken>>,
    /// Handshakes that may still go on.
    oldest_first: VecDeque<(Caller, AbortHandle)>,
}

impl TlsPort {
    async fn next(&mut self) -> Option<io::Result<Shaken>> {
        loop {
            tokio::select! {
                Some(ended) = self.under_way.join_next() => {
                    if let Ok(Some(shaken)) = ended {
                        return Some(Ok(shaken));
                    }
                }
                arrived = self.incoming.next() => match arrived? {
                    Ok(connection) => self.begin(connection),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }

    fn begin(&mut self, connection: TcpStream) {
        if self.oldest_first.len() >= self.tls.handshakes {
            self.oldest_first
                .retain(|(_, handshake)| !handshake.is_finished());
        }
        if self.oldest_first.len() >= self.tls.handshakes
            && let Some((_, oldest)) = self.oldest_first.remove(self.one_too_many())
        {
            oldest.abort();
            self.tls.refused.inc();
            if let Some(left_out) = self.tls.refusals.left_out() {
                tracing::warn!(
                    handshakes = self.tls.handshakes,
                    left_out,
                    "too many TLS handshakes go on at once; the oldest of the address with the most was ended"
                );
            }
        }
        let tls = self.tls.clone();
        let peer = Peer {
            address: connection.peer_addr().ok(),
            certificate: None,
        };
        let handshake = self.under_way.spawn(handshake(connection, tls));
        let caller = Caller::of_peer(&peer);
        self.oldest_first.push_back((caller, handshake));
    }

    /// Which handshake ends when there are too many: the oldest of the address that has most of them, so that it takes none from
    /// others.
    fn one_too_many(&self) -> usize {
        let mut counts = HashMap::<&Caller, usize>::new();
        for (caller, _) in &self.oldest_first {
            *counts.entry(caller).or_default() += 1;
        }
        let most = counts.values().max().copied().unwrap_or_default();
        let mut all = self.oldest_first.iter();
        all.position(|(caller, _)| counts[caller] == most)
            .unwrap_or_default()
    }
}

async fn handshake(connection: TcpStream, tls: ServerTls) -> Option<Shaken> {
    let address = connection.peer_addr().ok();
    let accepting = TlsAcceptor::from(tls.current()).accept(connection);
    let stream = match timeout(tls.handshake, accepting).await {
        Ok(Ok(stream)) => Box::new(stream),
        // Probes and load balancers connect and hang up.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            tracing::debug!(
                peer = peer(address),
                "hung up before the end of the TLS handshake"
            );
            return None;
        }
        Ok(Err(error)) => return refused(&tls, address, &error.to_string()),
        Err(_) => return refused(&tls, address, "it took too long"),
    };
    let presented = stream.get_ref().1.peer_certificates();
    let certificate = match presented.and_then(<[_]>::first) {
        Some(certificate) => match client_certificate::read(certificate) {
            Some(read) => Some(read),
            // The handshake has read it before.
            None => return refused(&tls, address, "its certificate cannot be read"),
        },
        None => None,
    };
    Some((
        stream,
        Peer {
            address,
            certificate,
        },
    ))
}

fn refused(tls: &ServerTls, address: Option<SocketAddr>, why: &str) -> Option<Shaken> {
    tls.refused.inc();
    if let Some(left_out) = tls.refusals.left_out() {
        tracing::warn!(
            peer = peer(address),
            why,
            left_out,
            "a TLS handshake failed"
        );
    }
    None
}

fn peer(address: Option<SocketAddr>) -> String {
    address.map_or_else(String::new, |address| address.to_string())
}
