//! Stands between a control plane and everybody who calls it, and makes both take the other for another version.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use hearth_api::v1::{
    OpenConnectionRequest, OpenConnectionResponse,
    agent_registry_service_client::AgentRegistryServiceClient,
};
use hearth_runtime::{Tunnel, serve_tunnel, tunnel_channel};
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use prost::Message;
use prost_reflect::MessageDescriptor;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    service::Routes,
    transport::{Channel, Server},
};
use tower::ServiceExt as _;

use crate::speech::{OPEN, Speech};

/// It listens until it is dropped.
pub struct Interpreter {
    pub address: SocketAddr,
    pub speech: Arc<Speech>,
    _server: JoinSet<()>,
}

impl Interpreter {
    pub async fn to(plane: SocketAddr, speech: Speech) -> Self {
        let speech = Arc::new(speech);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let plane = Channel::from_shared(format!("http://{plane}"));
        let plane = plane.expect("a URL").connect_lazy();
        let routes = routes(speech.clone(), plane);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let served = Server::builder().add_routes(routes);
            // It ends with the test.
            let _ = served.serve_with_incoming(incoming).await;
        });
        Self {
            address,
            speech,
            _server: server,
        }
    }
}

/// Everything that is called is called there.
fn routes(speech: Arc<Speech>, there: Channel) -> Routes {
    let pass = move |call: Request| {
        let (speech, there) = (speech.clone(), there.clone());
        async move {
            let answer = match call.uri().path() {
                OPEN => open(speech, there, call).await,
                _ => pass(&speech, there, call).await,
            };
            Ok::<_, Infallible>(answer.unwrap_or_else(Status::into_http))
        }
    };
    Router::new()
        .fallback_service(tower::service_fn(pass))
        .into()
}

async fn pass(speech: &Arc<Speech>, there: Channel, call: Request) -> Result<Response, Status> {
    let path = call.uri().path().to_owned();
    let method = speech.method(&path);
    let method = method.ok_or_else(|| Status::unimplemented(""))?;
    let say = |message: MessageDescriptor| {
        let speech = speech.clone();
        move |bytes: &[u8]| speech.say(&message, bytes)
    };
    let call = call.map(|body| tonic::body::Body::new(changed(body, say(method.input()))));
    let answer = there.oneshot(call).await;
    let answer = answer.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(answer.map(|body| changed(Body::new(body), say(method.output()))))
}

/// The body with other messages in it. What ends it stays as it is.
fn changed(body: Body, say: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Body {
    let frames = BodyStream::new(body).map_ok({
        let mut arrived = BytesMut::new();
        move |frame| match frame.into_data() {
            Ok(data) => {
                arrived.extend_from_slice(&data);
                let mut said = BytesMut::new();
                while let Some(message) = next(&mut arrived) {
                    put(&mut said, &say(&message));
                }
                Frame::data(said.freeze())
            }
            Err(trailers) => trailers,
        }
    });
    // A part of a message says nothing yet, and whoever is sent many empty frames ends the connection.
    let says = |frame: &Frame<Bytes>| frame.data_ref().is_none_or(|data| !data.is_empty());
    let frames = frames.try_filter(move |frame| std::future::ready(says(frame)));
    Body::new(StreamBody::new(frames))
}

/// The next whole message, without its head.
fn next(arrived: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(arrived.get(1..5)?.try_into().ok()?) as usize;
    if arrived.len() < 5 + length {
        return None;
    }
    assert_eq!(arrived[0], 0, "nothing is compressed here");
    arrived.advance(5);
    Some(arrived.split_to(length).freeze())
}

fn put(said: &mut BytesMut, message: &[u8]) {
    said.put_u8(0);
    said.put_u32(message.len().try_into().expect("a length"));
    said.extend_from_slice(message);
}

/// The messages of a call.
fn messages<M: Message + Default>(body: Body) -> impl Stream<Item = Result<M, Status>> {
    let frames = BodyStream::new(body).map_err(|error| Status::unknown(error.to_string()));
    let mut arrived = BytesMut::new();
    let found = frames.map_ok(move |frame| {
        arrived.extend_from_slice(&frame.into_data().unwrap_or_default());
        let all: Vec<_> = std::iter::from_fn(|| next(&mut arrived)).collect();
        stream::iter(all).map(|bytes| Ok(M::decode(bytes).expect("a message")))
    });
    found.try_flatten()
}

/// The connection by which an agent is called: one to the agent and one to the control plane, and what is called on the one is
/// called on the other.
async fn open(speech: Arc<Speech>, plane: Channel, call: Request) -> Result<Response, Status> {
    let (head, body) = call.into_parts();
    let (leaves, leaving) = Tunnel::way_out();
    let mut request = tonic::Request::new(leaving.map(|data| OpenConnectionRequest { data }));
    let proof = head.headers["authorization"].to_str().expect("a token");
    let metadata = request.metadata_mut();
    metadata.insert("authorization", proof.parse().expect("a token"));
    let mut client = AgentRegistryServiceClient::new(plane);
    let answers = client.open_connection(request).await?.into_inner();
    let (tell, told) = mpsc::channel(1);
    let arriving = answers.map_ok(move |answer| {
        if answer.open_another {
            let _ = tell.try_send(());
        }
        answer.data
    });
    let from_plane = Tunnel::new(arriving, leaves);

    let (leaves, leaving) = Tunnel::way_out();
    let arriving = messages::<OpenConnectionRequest>(body).map_ok(|message| message.data);
    let agent = tunnel_channel(Tunnel::new(arriving, leaves));
    let mut serving = JoinSet::new();
    let ended = CancellationToken::new();
    let end = ended.clone();
    serving.spawn(async move {
        let _end = end.drop_guard();
        let _ = serve_tunnel(from_plane, routes(speech, agent), &CancellationToken::new()).await;
    });
    let data = leaving.map(|data| OpenConnectionResponse {
        data,
        open_another: false,
    });
    let another = ReceiverStream::new(told).map(|()| OpenConnectionResponse {
        data: Bytes::new(),
        open_another: true,
    });
    let answers = stream::select(data, another).take_until(ended.cancelled_owned());
    let frames = answers.map(move |answer| {
        // It goes on for as long as somebody reads this.
        let _serving = &serving;
        let mut said = BytesMut::new();
        put(&mut said, &answer.encode_to_vec());
        Ok::<_, Infallible>(Frame::data(said.freeze()))
    });
    let response = Response::builder().header("content-type", "application/grpc");
    let body = Body::new(StreamBody::new(frames));
    response
        .body(body)
        .map_err(|error| Status::internal(error.to_string()))
}
