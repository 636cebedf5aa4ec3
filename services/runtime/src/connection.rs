use std::{
    io::{Cursor, ErrorKind},
    pin::pin,
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{CallMetrics, LimitArgs, Peer, line::Line};

/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long it may take to say it.
const GREETING: Duration = Duration::from_secs(10);
/// Detects a peer that is gone without having closed its connection, which may be idle for minutes.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Bytes of all headers of a call. A token, a trace and a timeout are a few hundred.
const MAX_HEADERS: u32 = 16 * 1024;
/// Bytes of an answer that wait for a caller who does not read.
const MAX_UNSENT: usize = 64 * 1024;
/// Bytes of a call that wait for who is called.
const UNREAD: u32 = 256 * 1024;
/// The same of all calls on a connection: a session whose command does not read holds up no other.
const UNREAD_IN_ALL: u32 = 8 * 1024 * 1024;
/// Calls that a caller has begun and given up, and that no service has seen yet: of more of them the connection ends.
const MAX_PENDING_RESETS: usize = 20;
/// Calls that are faulty or too many on their connection, until it ends.
const MAX_FAULTS: usize = 1024;
/// What is left of a connection after its calls were told to end.
const LAST: Duration = Duration::from_secs(5);

/// Serves connections of HTTP/2.
pub(crate) struct Connections {
    http: http2::Builder<TokioExecutor>,
    services: Routes,
    metrics: CallMetrics,
    age: Duration,
    grace: Duration,
    idle: Duration,
}

impl Connections {
    pub(crate) fn new(services: Routes, limits: &LimitArgs, metrics: CallMetrics) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .max_concurrent_streams(limits.max_calls_per_connection)
            .max_header_list_size(MAX_HEADERS)
            .max_send_buf_size(MAX_UNSENT)
            .initial_stream_window_size(UNREAD)
            .initial_connection_window_size(UNREAD_IN_ALL)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_FAULTS);
        Self {
            http,
            services: services.prepare(),
            metrics,
            age: limits.connection(),
            grace: limits.grace(),
            idle: limits.idle(),
        }
    }

    /// Serves one until it ends: by itself, when nobody calls on it or it is old, or after `stop`, when its calls have ended.
    pub(crate) async fn serve<C>(&self, connection: C, peer: Peer, stop: CancellationToken)
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(greeted) = greeted(connection).await else {
            self.metrics.connection_refused("NO_HTTP2");
            tracing::debug!(?peer, "closed a connection that does not speak HTTP/2");
            return;
        };
        let (line, beside) = Line::new();
        // It ends with this function.
        let mut working = JoinSet::new();
        working.spawn(beside.run());
        let calls = line.clone();
        let services = self.services.clone();
        let services = services.map_request(move |mut call: http::Request<Incoming>| {
            call.extensions_mut().insert(peer.clone());
            call.extensions_mut().insert(calls.begin());
            call
        });
        let services = TowerToHyperService::new(services);
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(greeted), services));
        tokio::select! {
            _ = &mut connection => return,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
                return;
            }
            () = sleep(with_jitter(self.age)) => {}
            () = line.idle(self.idle) => {}
        }
        connection.as_mut().graceful_shutdown();
        line.close();
        if timeout(self.grace, &mut connection).await.is_ok() {
            return;
        }
        line.end();
        tokio::select! {
            _ = &mut connection => return,
            () = line.none_lasts() => {}
        }
        let _ = timeout(LAST, connection).await;
    }
}

/// The connection after its first bytes, if they are those of HTTP/2.
async fn greeted<C>(connection: C) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut reader, writer) = tokio::io::split(connection);
    let read = async {
        let mut preface = [0; PREFACE.len()];
        let mut length = 0;
        while length < preface.len() {
            length += match reader.read(&mut preface[length..]).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                more => more,
            };
            if preface[..length] != PREFACE[..length] {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        Ok::<_, std::io::Error>(preface)
    };
    let preface = timeout(GREETING, read).await.ok()?.ok()?;
    let reader = Cursor::new(preface).chain(reader);
    Some(tokio::io::join(reader, writer))
}

/// Up to a tenth more or less: connections that were opened at the same moment are not all opened again at once.
fn with_jitter(age: Duration) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let part = u32::try_from(random % 200).unwrap_or_default();
    age * 9 / 10 + age * part / 1000
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
