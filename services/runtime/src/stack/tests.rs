use axum::{Router, body::Body, routing::any};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::{sync::oneshot, time::Instant};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::{Metrics, Peer, Tasks, in_trace, line::Line};

const GET: &str = "/hearth.v1.WorkspaceService/GetWorkspace";
const WATCH: &str = "/hearth.v1.WorkspaceService/WatchWorkspace";
const EXEC: &str = "/hearth.v1.WorkspaceService/Exec";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// What a service does with a call.
#[derive(Clone, Copy)]
enum Does {
    Answers,
    Panics,
    PanicsLater,
    Hangs,
    HangsLater,
    /// Refuses as the library does, without details.
    FindsTooMuch,
    FindsItTrimmed,
    TellsItsTrace,
}

struct Server {
    services: Router,
    metrics: Metrics,
}

impl Server {
    fn new(does: Does, limits: &LimitArgs) -> Self {
        let handler = any(async move |call: Request| serve(does, call).await);
        let services = [GET, WATCH, EXEC, HEALTH, "/made.up/Call"];
        let services = services.into_iter().fold(Router::new(), |router, path| {
            router.route(path, handler.clone())
        });
        let metrics = Metrics::default();
        let stack = Stack::new(limits, CallMetrics::register(&metrics));
        Self {
            services: stack.in_front_of(services.into()).into_axum_router(),
            metrics,
        }
    }

    async fn begin(&self, path: &str, headers: &[(&'static str, &str)]) -> Response {
        let mut call = Request::new(Body::empty());
        *call.uri_mut() = path.parse().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            call.headers_mut().insert(*name, value);
        }
        call.extensions_mut().insert(Peer {
            address: Some(([10, 0, 0, 1], 1).into()),
            certificate: None,
        });
        self.services.clone().oneshot(call).await.unwrap()
    }

    /// Makes a call, and reads its answer to the end.
    async fn call(&self, path: &str, headers: &[(&'static str, &str)]) -> Status {
        let (head, body) = self.begin(path, headers).await.into_parts();
        if let Some(status) = Status::from_header_map(&head.headers) {
            return status;
        }
        let read = body.collect().await.unwrap();
        Status::from_header_map(read.trailers().unwrap()).unwrap()
    }

    fn metrics(&self) -> String {
        self.metrics.text().unwrap()
    }
}

async fn serve(does: Does, call: Request) -> Response {
    let trailers = || {
        let mut trailers = HeaderMap::new();
        Status::ok("").add_header(&mut trailers).unwrap();
        trailers
    };
    let message = || Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")));
    let last = move || stream::iter([Ok::<Frame<Bytes>, Status>(Frame::trailers(trailers()))]);
    match does {
        Does::Answers => Response::new(Body::new(StreamBody::new(last()))),
        Does::Panics => panic!("a bug in {}", call.uri()),
        Does::PanicsLater => {
            let frames = stream::iter([1, 2]).map(move |number| match number {
                1 => message(),
                _ => panic!("a bug in a stream"),
            });
            Response::new(Body::new(StreamBody::new(frames)))
        }
        Does::Hangs => future::pending().await,
        Does::HangsLater => {
            let frames = stream::iter([message()]).chain(stream::pending());
            Response::new(Body::new(StreamBody::new(frames)))
        }
        Does::FindsTooMuch => Status::out_of_range("found 7 bytes, the limit is 6").into_http(),
        Does::FindsItTrimmed => status(Reason::HistoryTrimmed, "gone").into_http(),
        Does::TellsItsTrace => {
            let tasks = Tasks::default();
            let (tell, told) = oneshot::channel();
            tasks.spawn("a task of a call", async move {
                let told = in_trace(tonic::Request::new(()));
                let _ = tell.send(told.metadata().get("traceparent").unwrap().clone());
            });
            let trace = told.await.unwrap();
            Status::aborted(trace.to_str().unwrap()).into_http()
        }
    }
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map_or_else(String::new, |info| info.reason.clone())
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_its_call() {
    for (does, path) in [(Does::Panics, GET), (Does::PanicsLater, WATCH)] {
        let server = Server::new(does, &LimitArgs::default());
        for _ in 0..2 {
            let status = server.call(path, &[]).await;
            assert_eq!(status.code(), Code::Internal);
            assert_eq!(reason(&status), "INTERNAL");
            assert!(!status.message().contains("bug"), "{status:?}");
        }
        let counted = format!(r#"rpc="{}",code="INTERNAL"}} 2"#, &path[1..]);
        assert!(server.metrics().contains(&counted), "{}", server.metrics());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_over_when_its_caller_says_and_a_stream_too() {
    for (does, path, headers, seconds) in [
        (Does::Hangs, GET, Some(("grpc-timeout", "5S")), 5),
        (Does::Hangs, WATCH, Some(("grpc-timeout", "5S")), 5),
        (Does::HangsLater, WATCH, Some(("grpc-timeout", "400S")), 400),
        (Does::Hangs, GET, Some(("grpc-timeout", "400S")), 300),
        (Does::Hangs, WATCH, None, 300),
    ] {
        let server = Server::new(does, &LimitArgs::default());
        let began = Instant::now();
        let status = server.call(path, headers.as_slice()).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(reason(&status), "DEADLINE_EXCEEDED");
        assert_eq!(began.elapsed().as_secs(), seconds, "{path} {headers:?}");
    }
    let server = Server::new(Does::HangsLater, &LimitArgs::default());
    let stream = server.call(WATCH, &[]);
    let stream = tokio::time::timeout(Duration::from_secs(100_000), stream);
    assert!(stream.await.is_err(), "a stream may go on");
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once_and_health_is_not() {
    let limits = LimitArgs {
        max_calls: 1,
        ..LimitArgs::default()
    };
    let server = Server::new(Does::HangsLater, &limits);
    let open = server.begin(WATCH, &[]).await;
    let refused = server.call(GET, &[]).await;
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "OVERLOADED");
    assert!(refused.get_error_details().retry_info().is_some());
    assert!(refused.message().contains("--max-calls"));
    let health = server.begin(HEALTH, &[]).await;
    assert!(Status::from_header_map(health.headers()).is_none());
    let open_calls = format!(r#"hearth_rpc_calls_open{{rpc="{}"}} 1"#, &WATCH[1..]);
    assert!(server.metrics().contains(&open_calls));
    drop(open);
    let next = server.begin(WATCH, &[]).await;
    assert!(Status::from_header_map(next.headers()).is_none());
    let text = server.metrics();
    assert!(text.contains(r#"hearth_rpc_calls_refused_total{reason="OVERLOADED"} 1"#));
    assert!(text.contains(r#"code="CANCELLED"} 1"#), "{text}");
}

#[tokio::test]
async fn strangers_make_no_labels() {
    let server = Server::new(Does::Answers, &LimitArgs::default());
    assert_eq!(server.call(GET, &[]).await.code(), Code::Ok);
    assert_eq!(server.call("/made.up/Call", &[]).await.code(), Code::Ok);
    let text = server.metrics();
    assert!(!text.contains("made.up"));
    for rpc in [&GET[1..], "unknown"] {
        let counted = format!(r#"hearth_rpc_calls_total{{rpc="{rpc}",code="OK"}} 1"#);
        assert!(text.contains(&counted), "{text}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told_as_that_and_nothing_else_is() {
    let server = Server::new(Does::FindsTooMuch, &LimitArgs::default());
    let status = server.call(GET, &[]).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "MESSAGE_TOO_LARGE");
    assert!(status.message().contains("the limit is 6"), "{status:?}");
    let server = Server::new(Does::FindsItTrimmed, &LimitArgs::default());
    let status = server.call(GET, &[]).await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::OutOfRange, "gone")
    );
}

#[tokio::test]
async fn the_tasks_of_a_call_belong_to_its_trace() {
    let server = Server::new(Does::TellsItsTrace, &LimitArgs::default());
    let id = "0af7651916cd43dd8448eb211c80319c";
    let given = format!("00-{id}-b7ad6b7169203331-01");
    let told = server.call(GET, &[("traceparent", &given)]).await;
    assert!(told.message().starts_with(&format!("00-{id}-")), "{told:?}");
    let first = server.call(GET, &[]).await;
    let second = server.call(GET, &[]).await;
    assert_ne!(first.message()[..35], second.message()[..35]);
}

#[tokio::test]
async fn a_caller_that_proves_who_it_is_counts_as_itself() {
    let limits = LimitArgs {
        max_calls_per_caller: 1,
        ..LimitArgs::default()
    };
    let metrics = CallMetrics::register(&Metrics::default());
    let stack = Stack::new(&limits, metrics).identifying(|call| {
        let name = call.headers.get("name").and_then(|name| name.to_str().ok());
        let identity = name.and_then(|name| format!("spiffe://hearth/client/{name}").parse().ok());
        if let Some(hearth_domain::Identity::Client(name)) = identity {
            let identity = hearth_domain::Identity::Client(name);
            call.extensions.insert(identity);
        }
    });
    let handler = any(async |call: Request| serve(Does::HangsLater, call).await);
    let services = Router::new().route(WATCH, handler);
    let server = Server {
        services: stack.in_front_of(services.into()).into_axum_router(),
        metrics: Metrics::default(),
    };
    let mut open = Vec::new();
    for name in [&[][..], &[("name", "a")], &[("name", "b")]] {
        open.push(server.begin(WATCH, name).await);
        let refused = server.call(WATCH, name).await;
        assert_eq!(reason(&refused), "TOO_MANY_CALLS", "{name:?}");
    }
    let unlimited = stack.for_one_caller();
    assert!(unlimited.callers.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_connection_and_a_session_keeps_it() {
    for (path, keeps) in [(WATCH, false), (EXEC, true)] {
        let server = Server::new(Does::HangsLater, &LimitArgs::default());
        let (line, _beside) = Line::new();
        let mut call = Request::new(Body::empty());
        *call.uri_mut() = path.parse().unwrap();
        call.extensions_mut().insert(line.begin());
        let answer = server.services.clone().oneshot(call).await.unwrap();
        line.end();
        let mut read = Box::pin(answer.into_body().collect());
        let ended = tokio::time::timeout(Duration::from_secs(100_000), &mut read).await;
        let none_lasts = tokio::time::timeout(Duration::from_secs(1), line.none_lasts()).await;
        assert_eq!(
            (ended.is_err(), none_lasts.is_err()),
            (keeps, keeps),
            "{path}"
        );
        drop(read);
        drop(ended);
        line.none_lasts().await;
    }
}
