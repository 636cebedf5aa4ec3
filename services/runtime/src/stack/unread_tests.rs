//! Streams whose callers read nothing: HTTP/2 asks such a stream for nothing more, so it does not see by itself that it has to
//! end.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, body::Body, routing::any};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tonic::transport::Channel;
use tower::ServiceExt as _;

use super::*;
use crate::{GrpcServer, Metrics};

const WATCH: &str = "/hearth.v1.WorkspaceService/WatchWorkspace";
const PIECE: usize = 16 * 1024;
/// What HTTP/2 lets a server send unasked, and what the server keeps besides.
const UNREAD: usize = 2 * 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_stream_that_nobody_reads_ends_when_its_time_is_over_or_its_caller_is_shut_out() {
    let (revoked, sent) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let dropped = Arc::new(parking_lot::Mutex::new(CancellationToken::new()));
    let serve = {
        let (revoked, sent, dropped) = (revoked.clone(), sent.clone(), dropped.clone());
        move || {
            let (sent, held) = (sent.clone(), dropped.lock().clone().drop_guard());
            let pieces = stream::repeat(()).map(move |()| {
                let _held = &held;
                sent.fetch_add(PIECE, Ordering::SeqCst);
                Ok::<_, Status>(Frame::data(Bytes::from_static(&[0; PIECE])))
            });
            let mut answer = Response::new(Body::new(StreamBody::new(pieces)));
            answer.extensions_mut().insert(EndsWith {
                token: revoked.clone(),
                status: Status::unauthenticated("revoked"),
            });
            async move { answer }
        }
    };
    let limits = LimitArgs::default();
    let metrics = CallMetrics::register(&Metrics::default());
    let services = Router::new().route(WATCH, any(serve));
    let stack = Stack::new(&limits, metrics.clone());
    let server = GrpcServer::new(services.into(), &stack, &limits, metrics).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(server.serve(listener, CancellationToken::new()));
    let channel = Channel::from_shared(url).unwrap().connect_lazy();
    for (time, code) in [
        (Some("1S"), Code::DeadlineExceeded),
        (None, Code::Unauthenticated),
    ] {
        let gone = CancellationToken::new();
        *dropped.lock() = gone.clone();
        sent.store(0, Ordering::SeqCst);
        let mut call = http::Request::post(WATCH);
        if let Some(time) = time {
            call = call.header("grpc-timeout", time);
        }
        let call = call.body(tonic::body::Body::empty()).unwrap();
        let answer = channel.clone().oneshot(call).await.unwrap();
        let full = async {
            while sent.load(Ordering::SeqCst) < UNREAD {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, full).await.expect("nothing more is sent");
        if time.is_none() {
            revoked.cancel();
        }
        let ended = timeout(PATIENCE, gone.cancelled()).await;
        ended.expect("what it holds is dropped, although nobody reads");
        // Who reads after all hears how it ended.
        let read = timeout(PATIENCE, answer.into_body().collect()).await;
        let read = read.expect("its end").unwrap();
        let status = Status::from_header_map(read.trailers().unwrap()).unwrap();
        assert_eq!(status.code(), code, "{status:?}");
    }
}
