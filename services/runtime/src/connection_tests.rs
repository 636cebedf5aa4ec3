use std::{convert::Infallible, io, sync::Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::client::conn::http2 as http2_client;
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinSet,
    time::Instant,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::{Metrics, Stack};

fn limits() -> LimitArgs {
    LimitArgs {
        max_connection_seconds: 1000,
        connection_grace_seconds: 100,
        max_idle_seconds: 300,
        ..LimitArgs::default()
    }
}

/// Begins to serve a connection; its other end.
fn connection(serving: &mut JoinSet<()>) -> DuplexStream {
    let metrics = CallMetrics::register(&Metrics::default());
    let services = Routes::new(tonic_health::server::health_reporter().1);
    let services = Stack::new(&limits(), metrics.clone()).in_front_of(services);
    let connections = Connections::new(services, &limits(), metrics);
    // Wide enough for a flood to arrive before anybody reads of it.
    let (ours, theirs) = duplex(1024 * 1024);
    serving.spawn(async move {
        let never = CancellationToken::new();
        connections.serve(theirs, Peer::default(), never).await;
    });
    ours
}

fn channel(connection: DuplexStream) -> Channel {
    let connection = Mutex::new(Some(connection));
    let connect = tower::service_fn(move |_| {
        let taken = connection.lock().unwrap().take();
        let taken = taken.map(TokioIo::new);
        std::future::ready(taken.ok_or_else(|| io::Error::from(ErrorKind::NotConnected)))
    });
    Endpoint::from_static("http://test").connect_with_connector_lazy(connect)
}

async fn check(channel: &Channel) -> Result<(), Status> {
    let mut client = HealthClient::new(channel.clone());
    client.check(HealthCheckRequest::default()).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn what_does_not_speak_http2_is_closed() {
    for (said, seconds) in [
        (&b""[..], 10),
        (&PREFACE[..10], 10),
        (b"GET / HTTP/1.1\r\n", 0),
        (b"PRI * HTTP/2.0\r\n\r\nSX", 0),
        (&[0; 100], 0),
    ] {
        let mut serving = JoinSet::new();
        let mut ours = connection(&mut serving);
        ours.write_all(said).await.unwrap();
        let began = Instant::now();
        serving.join_next().await.unwrap().unwrap();
        assert_eq!(began.elapsed().as_secs(), seconds, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_begins_to_speak_http2_and_falls_silent_is_closed() {
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    for rest in [&b""[..], &settings[..], &settings[..5]] {
        let mut serving = JoinSet::new();
        let mut ours = connection(&mut serving);
        ours.write_all(PREFACE).await.unwrap();
        ours.write_all(rest).await.unwrap();
        let began = Instant::now();
        serving.join_next().await.unwrap().unwrap();
        assert!(began.elapsed() <= KEEPALIVE * 2 + Duration::from_secs(1));
        drop(ours);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_calls_is_closed_and_one_with_calls_is_not() {
    let mut serving = JoinSet::new();
    let channel = channel(connection(&mut serving));
    for _ in 0..3 {
        check(&channel).await.unwrap();
        sleep(Duration::from_secs(200)).await;
    }
    check(&channel).await.unwrap();
    let began = Instant::now();
    serving.join_next().await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), 300);
    check(&channel).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_takes_no_calls_and_ends_its_streams_in_the_end() {
    let mut serving = JoinSet::new();
    let channel = channel(connection(&mut serving));
    let began = Instant::now();
    let mut watching = HealthClient::new(channel.clone());
    let watched = watching.watch(HealthCheckRequest::default()).await;
    let mut watched = watched.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();
    sleep(Duration::from_secs(890)).await;
    check(&channel).await.unwrap();
    let ended = watched.message().await.unwrap_err();
    let age = began.elapsed().as_secs();
    assert!((1000..=1200).contains(&age), "{age}");
    assert_eq!(ended.code(), Code::Unavailable);
    assert!(ended.message().contains("another"), "{ended:?}");
    check(&channel).await.unwrap_err();
    serving.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn faulty_frames_end_their_connection() {
    let header = |length: u32, kind: u8, stream: u32| {
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0]);
        frame.extend(stream.to_be_bytes());
        frame
    };
    for (what, frame) in [
        ("longer than agreed", header(0x00ff_ffff, 0, 1)),
        ("data of no stream", header(0, 0, 0)),
        ("data of a stream that was not opened", header(0, 0, 5)),
        (
            "settings of a strange length",
            [header(1, 4, 0), vec![0]].concat(),
        ),
        (
            "headers that are none",
            b"\0\0\x03\x01\x04\0\0\0\x01\xff\xff\xff".to_vec(),
        ),
        ("a continuation of nothing", header(0, 9, 1)),
    ] {
        let mut serving = JoinSet::new();
        let mut ours = connection(&mut serving);
        ours.write_all(PREFACE).await.unwrap();
        ours.write_all(&header(0, 4, 0)).await.unwrap();
        ours.write_all(&frame).await.unwrap();
        let began = Instant::now();
        serving.join_next().await.unwrap().unwrap();
        assert_eq!(began.elapsed().as_secs(), 0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn tiny_frames_are_taken_until_they_are_too_many_to_wait() {
    assert_eq!(tiny_frames(1000).await.unwrap(), Code::NotFound);
    // Each costs more to keep than it carries: some 256 bytes, of which half of what may wait on a connection has room for so
    // many. Their connection ends, and no other.
    let most = usize::try_from(UNREAD_IN_ALL).unwrap() / 2 / 255;
    tiny_frames(3 * most).await.unwrap_err();
}

/// A call whose message comes in frames of one byte, on a connection of its own.
async fn tiny_frames(number: usize) -> Result<Code, hyper::Error> {
    let mut serving = JoinSet::new();
    let ours = TokioIo::new(connection(&mut serving));
    let shaken = http2_client::handshake(TokioExecutor::new(), ours).await;
    let (mut sender, connection) = shaken.unwrap();
    serving.spawn(async move {
        let _ = connection.await;
    });
    let message = HealthCheckRequest {
        service: "x".repeat(number),
    };
    let encoded = prost::Message::encode_to_vec(&message);
    let length = u32::try_from(encoded.len()).unwrap();
    let whole = [&[0][..], &length.to_be_bytes(), &encoded].concat();
    let tiny = whole.chunks(1).map(Bytes::copy_from_slice);
    let frames: Vec<_> = tiny
        .map(|data| Ok::<_, Infallible>(Frame::data(data)))
        .collect();
    let call = http::Request::post("http://test/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(stream::iter(frames)))
        .unwrap();
    let answer = sender.send_request(call).await?;
    Ok(Status::from_header_map(answer.headers()).unwrap().code())
}
