//! A connection of HTTP/2 within a call: the node that calls is the server on it, so that none of its ports has to be open.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    SinkExt as _, Stream, StreamExt as _, TryStreamExt as _, sink::SinkMapErr, stream::BoxStream,
};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{
    io::{CopyToBytes, SinkWriter, StreamReader},
    sync::{CancellationToken, PollSendError, PollSender},
};
use tonic::{
    Status,
    service::Routes,
    transport::{Channel, Endpoint},
};
use tower::ServiceExt as _;

/// Messages that wait to be sent; each has at most what HTTP/2 writes at a time, some 16 KiB.
const WAITING: usize = 8;
/// A peer that is gone without a word is noticed after twice this time.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Bytes of one call that wait for its reader: attempts whose events nobody takes hold up no other of the node.
const UNREAD: u32 = 64 * 1024;
/// The same of all calls: those of more attempts and sessions than there are on a node.
const UNREAD_IN_ALL: u32 = 32 * 1024 * 1024;

type Reader = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;
type Writer = SinkWriter<CopyToBytes<SinkMapErr<PollSender<Bytes>, fn(Unsent) -> io::Error>>>;
type Unsent = PollSendError<Bytes>;

/// One end of a connection whose bytes are the messages of a call.
pub struct Tunnel {
    reader: Reader,
    writer: Writer,
}

impl Tunnel {
    /// The way out of an end: what takes its bytes, and the messages that they become.
    pub fn way_out() -> (mpsc::Sender<Bytes>, ReceiverStream<Bytes>) {
        let (leaves, leaving) = mpsc::channel(WAITING);
        (leaves, ReceiverStream::new(leaving))
    }

    /// The end at which these messages arrive, with its way out.
    pub fn new(
        arriving: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
        leaves: mpsc::Sender<Bytes>,
    ) -> Self {
        let arriving = arriving.map_err(|status| io::Error::other(status.message().to_owned()));
        let ended: fn(Unsent) -> io::Error = |_| io::ErrorKind::BrokenPipe.into();
        let leaves = PollSender::new(leaves).sink_map_err(ended);
        Self {
            reader: StreamReader::new(arriving.boxed()),
            writer: SinkWriter::new(CopyToBytes::new(leaves)),
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, into)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

/// Serves `routes` on a connection until it ends. After `stop` open calls may end; where there never was one, the other end may
/// not even have begun to speak, and nothing is waited for.
///
/// # Errors
///
/// When the connection breaks.
pub async fn serve_tunnel(
    tunnel: Tunnel,
    routes: Routes,
    stop: &CancellationToken,
) -> Result<(), hyper::Error> {
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        // Each attempt has one for as long as it goes on.
        .max_concurrent_streams(None)
        .initial_stream_window_size(UNREAD)
        .initial_connection_window_size(UNREAD_IN_ALL)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    let called = Arc::new(AtomicBool::new(false));
    let first = called.clone();
    let services = routes
        .prepare()
        .map_request(move |call: Request<Incoming>| {
            first.store(true, Ordering::Relaxed);
            call
        });
    let service = TowerToHyperService::new(services);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(tunnel), service));
    tokio::select! {
        ended = &mut connection => return ended,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    match called.load(Ordering::Relaxed) {
        true => connection.await,
        false => Ok(()),
    }
}

/// Calls to who serves at the other end. They fail when the connection has ended.
pub fn tunnel_channel(tunnel: Tunnel) -> Channel {
    let tunnel = Mutex::new(Some(tunnel));
    let connect = tower::service_fn(move |_| {
        let tunnel = tunnel.lock().take();
        let ended = || io::Error::new(io::ErrorKind::NotConnected, "the connection has ended");
        std::future::ready(tunnel.map(TokioIo::new).ok_or_else(ended))
    });
    Endpoint::from_static("http://node")
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(UNREAD)
        .initial_connection_window_size(UNREAD_IN_ALL)
        .connect_with_connector_lazy(connect)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::task::JoinSet;
    use tonic::{Code, Request};
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use super::*;

    /// The two ends of a connection.
    fn pair() -> (Tunnel, Tunnel) {
        let (to_server, from_client) = Tunnel::way_out();
        let (to_client, from_server) = Tunnel::way_out();
        (
            Tunnel::new(from_server.map(Ok), to_server),
            Tunnel::new(from_client.map(Ok), to_client),
        )
    }

    fn routes() -> Routes {
        Routes::new(tonic_health::server::health_reporter().1)
    }

    async fn ask(client: &mut HealthClient<Channel>) -> Result<(), Code> {
        let answer = client.check(Request::new(HealthCheckRequest::default()));
        answer.await.map(drop).map_err(|status| status.code())
    }

    #[tokio::test]
    async fn many_calls_pass_at_once_and_a_stop_lets_open_ones_end() {
        let (client, server) = pair();
        let stop = CancellationToken::new();
        let mut served = JoinSet::new();
        served.spawn({
            let stop = stop.clone();
            async move { serve_tunnel(server, routes(), &stop).await }
        });
        let channel = tunnel_channel(client);
        // More of them than HTTP/2 libraries allow by default.
        let mut open = Vec::new();
        for _ in 0..300 {
            let mut client = HealthClient::new(channel.clone());
            let watched = client.watch(HealthCheckRequest::default()).await;
            open.push(watched.unwrap());
        }
        let calls = stream::iter(0..500).map(|_| {
            let mut client = HealthClient::new(channel.clone());
            async move { ask(&mut client).await }
        });
        let answers: Vec<_> = calls.buffer_unordered(100).collect().await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        drop(open);
        let mut watching = HealthClient::new(channel.clone());
        let watched = watching.watch(HealthCheckRequest::default()).await;
        let mut watched = watched.unwrap().into_inner();
        assert!(watched.message().await.unwrap().is_some());
        stop.cancel();
        let mut late = HealthClient::new(channel);
        assert!(ask(&mut late).await.is_err());
        drop(watched);
        served.join_next().await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn calls_fail_when_the_connection_ends_and_no_other_is_made() {
        let (client, server) = pair();
        let mut client = HealthClient::new(tunnel_channel(client));
        let mut served = JoinSet::new();
        served
            .spawn(async move { serve_tunnel(server, routes(), &CancellationToken::new()).await });
        assert_eq!(ask(&mut client).await, Ok(()));
        served.abort_all();
        for _ in 0..2 {
            assert!(ask(&mut client).await.is_err());
        }
        assert_eq!(ask(&mut client).await, Err(Code::Unavailable));
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_who_never_called() {
        // Nobody speaks at the other end of the one, and somebody who has ended at that of the other.
        for calls in [false, true] {
            let (client, server) = pair();
            let stop = CancellationToken::new();
            let mut served = JoinSet::new();
            served.spawn({
                let stop = stop.clone();
                async move { serve_tunnel(server, routes(), &stop).await }
            });
            let channel = tunnel_channel(client);
            if calls {
                assert_eq!(ask(&mut HealthClient::new(channel.clone())).await, Ok(()));
            }
            stop.cancel();
            let ended = tokio::time::timeout(Duration::from_secs(10), served.join_next()).await;
            // The other end may have gone first.
            let _ = ended.expect("it ends").unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn bytes_that_are_no_http_end_the_connection() {
        let noise = stream::iter([Ok(Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"))]);
        let (leaves, _leaving) = Tunnel::way_out();
        let server = Tunnel::new(noise, leaves);
        let served = serve_tunnel(server, routes(), &CancellationToken::new()).await;
        assert!(served.is_err());
    }
}
