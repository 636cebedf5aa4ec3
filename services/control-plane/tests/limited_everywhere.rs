//! Every call that clients can make, also one that is added later, is made by a client that is limited to other repositories.

use bytes::{BufMut as _, Bytes, BytesMut};
use hearth_api::v1::{ClientScope, CreateClientRequest};
use hearth_tests::images::Image;
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _,
};
use tonic::{Code, Status, transport::Channel};
use tower::ServiceExt as _;

use crate::support::{access::Guarded, agent::FakeAgent, cache, refusals::reason, soon};

const OTHER: &str = "https://github.com/evil/secret-shop";
/// Of nodes and agents; who may call them is a matter of other tests.
const OF_AGENTS: [&str; 4] = [
    "AgentRegistryService",
    "AgentService",
    "CacheIndexService",
    "CredentialService",
];

/// Where a request names a workspace or a repository: the fields down to it.
fn paths(message: &MessageDescriptor, name: &str, depth: usize) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for field in message.fields().filter(|field| !field.is_list()) {
        let own = field.name().to_owned();
        match field.kind() {
            Kind::String if own == name => found.push(vec![own]),
            Kind::Message(inner) if depth > 0 && inner.package_name() == "hearth.v1" => {
                let below = paths(&inner, name, depth - 1).into_iter();
                found.extend(below.map(|path| [vec![own.clone()], path].concat()));
            }
            _ => {}
        }
    }
    found
}

fn set(message: &mut DynamicMessage, path: &[String], text: &str) {
    let (first, rest) = path.split_first().expect("a field");
    match rest {
        [] => message.set_field_by_name(first, prost_reflect::Value::String(text.to_owned())),
        rest => {
            let field = message.descriptor().get_field_by_name(first);
            let inner = message.get_field_mut(&field.expect("a field"));
            set(inner.as_message_mut().expect("a message"), rest, text);
        }
    }
}

/// Makes a call with one message: what it is answered, in bytes, and how it ends. A stream is read up to its first message.
async fn call(
    channel: &Channel,
    token: &str,
    method: &MethodDescriptor,
    message: &DynamicMessage,
) -> Result<Bytes, Status> {
    let message = message.encode_to_vec();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len().try_into().expect("a length"));
    framed.extend_from_slice(&message);
    let service = method.parent_service().full_name().to_owned();
    let request = http::Request::post(format!("/{service}/{}", method.name()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .body(tonic::body::Body::new(Full::new(framed.freeze())))
        .expect("a request");
    let answer = channel.clone().oneshot(request);
    let answer = soon("an answer", answer).await.expect("an answer");
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return Err(status);
    }
    let mut body = answer.into_body();
    let mut read = BytesMut::new();
    while let Some(frame) = soon("a frame", body.frame()).await {
        let frame = frame.expect("a frame");
        if let Some(trailers) = frame.trailers_ref() {
            return match Status::from_header_map(trailers) {
                Some(status) if status.code() != Code::Ok => Err(status),
                _ => Ok(read.freeze()),
            };
        }
        read.extend_from_slice(&frame.into_data().expect("data"));
        if method.is_server_streaming() {
            break;
        }
    }
    Ok(read.freeze())
}

#[tokio::test]
async fn no_call_tells_a_limited_client_of_what_is_of_other_repositories() {
    let lab = Guarded::start().await;
    let agent = FakeAgent::join(&lab.plane, "n1").await;
    let created = lab.create(CreateClientRequest {
        name: "acme".into(),
        scopes: [ClientScope::Read, ClientScope::Prepare, ClientScope::Exec]
            .map(Into::into)
            .to_vec(),
        repositories: vec!["github.com/acme/*".into()],
        valid_seconds: 0,
    });
    let token = created.await.token;
    let other = lab.workspace(&lab.admin, OTHER).await;
    agent.started(&other, 1).await;
    let manifest = cache::dockerfile("FROM a");
    let image = Image::of_key("an image", cache::BYTES, &manifest.key());
    // In the cache of its own repository: an attempt uses no other.
    let repository = format!("{}/evil/secret-shop", cache::REGISTRY.host());
    let mut entry = cache::entry_of(&manifest, &image);
    entry.digest = cache::REGISTRY.put(&repository, &image).to_string();
    entry.repository = repository;
    let committed = cache::commit(&lab.plane, &other, 1, entry).await;
    committed.expect("a commit");

    let url = format!("http://{}", lab.plane.addresses.listen);
    let channel = Channel::from_shared(url).expect("a URL").connect_lazy();
    let pool = DescriptorPool::decode(hearth_api::FILE_DESCRIPTOR_SET).expect("the contract");
    let services = pool.services().filter(|service| {
        service.package_name() == "hearth.v1" && !OF_AGENTS.contains(&service.name())
    });
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let (mut by_workspace, mut by_repository) = (0, 0);
    for method in methods {
        let name = method.full_name().to_owned();
        let make = |path: &[String], text: &str| {
            let mut message = DynamicMessage::new(method.input());
            set(&mut message, path, text);
            message
        };
        // As a workspace that does not exist.
        for path in paths(&method.input(), "workspace_id", 3) {
            by_workspace += 1;
            let mut answers = Vec::new();
            for id in [&*other, "ws-0000000000ab"] {
                let answer = call(&channel, &token, &method, &make(&path, id)).await;
                let status = answer.expect_err(&name);
                assert!(
                    matches!(
                        status.code(),
                        Code::NotFound | Code::PermissionDenied | Code::InvalidArgument
                    ),
                    "{name}: {status:?}"
                );
                let told = status.message().replace(id, "ID");
                answers.push((status.code(), reason(&status), told));
            }
            assert_eq!(answers[0], answers[1], "{name}");
        }
        for path in paths(&method.input(), "repository", 3) {
            by_repository += 1;
            let answer = call(&channel, &token, &method, &make(&path, OTHER)).await;
            // A list of nothing is as good as a refusal.
            let Err(status) = answer.map(|frame| assert_eq!(&frame[..], [0; 5], "{name}")) else {
                continue;
            };
            let refused = ["NOT_ALLOWED", "INVALID_FIELD"].contains(&&*reason(&status));
            assert!(refused, "{name}: {status:?}");
        }
        // What it did not name.
        let empty = DynamicMessage::new(method.input());
        let told = match call(&channel, &token, &method, &empty).await {
            Ok(answer) => answer.to_vec(),
            Err(status) => status.message().as_bytes().to_vec(),
        };
        for secret in ["evil", "secret-shop", &other] {
            let is_in = told
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!is_in, "{name} tells of {secret}");
        }
    }
    assert!(
        by_workspace >= 5 && by_repository >= 6,
        "{by_workspace} {by_repository}"
    );
    // It is still there.
    lab.get(&lab.admin, &other).await.expect("the workspace");
}
