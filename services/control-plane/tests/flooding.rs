//! One caller that asks for too much gets less, and the others what they always get.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use hearth_api::v1::{
    AttemptRef, GetWorkspaceRequest, HeartbeatRequest, QuarantinedWorkspace,
    workspace_service_client::WorkspaceServiceClient,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Uri},
};

use crate::support::{
    events::{line, preparing, ready, settled, words},
    plane::{Plane, shop},
    refusals::reason,
    start::{begin, with_agent},
};

/// A client whose address is this one.
async fn from(plane: &Plane, address: [u8; 4]) -> WorkspaceServiceClient<Channel> {
    let to = plane.addresses.listen;
    let connect = tower::service_fn(move |_: Uri| async move {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((address, 0)))?;
        socket.connect(to).await.map(TokioIo::new)
    });
    let endpoint = Endpoint::from_static("http://plane");
    let channel = endpoint.connect_with_connector(connect).await;
    WorkspaceServiceClient::new(channel.expect("a connection"))
}

async fn get(client: &WorkspaceServiceClient<Channel>, id: &str) -> Result<(), Status> {
    let request = GetWorkspaceRequest {
        workspace_id: id.to_owned(),
    };
    client.clone().get_workspace(request).await.map(drop)
}

#[tokio::test]
async fn a_flood_of_one_caller_holds_up_no_other() {
    let (plane, agent) = with_agent(&["--max-calls-per-second=1", "--max-call-burst=30"]).await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    let flooding = from(&plane, [127, 0, 0, 2]).await;
    let flood = stream::iter(0..500).map(|_| get(&flooding, &id));
    let answers: Vec<_> = flood.buffer_unordered(100).collect().await;
    let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!((400..=470).contains(&refused.len()), "{}", refused.len());
    for status in &refused {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert_eq!(reason(status), "TOO_MANY_CALLS");
    }
    let other = from(&plane, [127, 0, 0, 3]).await;
    for _ in 0..10 {
        get(&other, &id).await.expect("a workspace");
    }
    // The node counts as itself, wherever its calls come from.
    for _ in 0..10 {
        assert!(agent.heartbeat(&plane).await);
    }
    agent.say(&id, 1, [preparing(), ready(), settled()]);
    assert_eq!(
        words(&follower.rest().await),
        ["PREPARING", "READY", "settled"]
    );
    let metrics = plane.admin("/metrics").await;
    let counted = format!(
        r#"hearth_rpc_calls_refused_total{{reason="TOO_MANY_CALLS"}} {}"#,
        refused.len()
    );
    assert!(metrics.contains(&counted), "{metrics}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_in_words_and_the_largest_of_an_agent_is_taken() {
    let (plane, agent) = with_agent(&[]).await;
    let client = from(&plane, [127, 0, 0, 1]).await;
    let refused = get(&client, &"x".repeat(2 << 20))
        .await
        .expect_err("it is large");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "MESSAGE_TOO_LARGE");
    assert!(refused.message().contains("1048576"), "{refused:?}");
    let almost = get(&client, &"x".repeat((1 << 20) - 10)).await;
    assert_eq!(almost.expect_err("no id").code(), Code::InvalidArgument);

    let id = |number: u32| format!("ws-{number:012x}");
    let attempts = |attempt| {
        let attempt = |number| AttemptRef {
            workspace_id: id(number),
            attempt,
        };
        (0..10_000).map(attempt).collect::<Vec<_>>()
    };
    let heartbeat = HeartbeatRequest {
        node: "n1".into(),
        boot_id: agent.boot_id.clone(),
        preparing_attempts: attempts(1),
        unconfirmed_attempts: attempts(2),
        quarantined: (0..10_000)
            .map(|number| QuarantinedWorkspace {
                workspace_id: id(number),
                control_plane_id: "a".repeat(64),
                ..QuarantinedWorkspace::default()
            })
            .collect(),
        ..HeartbeatRequest::default()
    };
    let bytes = prost::Message::encoded_len(&heartbeat);
    assert!(bytes > 1 << 20, "{bytes}");
    let request = plane.of_node("n1", heartbeat);
    let answer = plane.registry().await.heartbeat(request).await;
    assert!(answer.expect("an answer").into_inner().known);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody() {
    let (plane, agent) = with_agent(&[]).await;
    let (unread, id) = begin(&plane, &agent, shop()).await;
    let mut more = Vec::new();
    for _ in 0..20 {
        more.push(plane.watch(&id, 0).await);
    }
    let reading = plane.watch(&id, 0).await;
    agent.say(&id, 1, [preparing()]);
    // More than fits into all that waits anywhere on the way. Where a page of them ends, an answer is half filled.
    let lines = (0..600).map(|number| line(format!("{number} {}", "x".repeat(10_000))));
    agent.say(&id, 1, lines);
    agent.say(&id, 1, [ready(), settled()]);
    assert_eq!(reading.rest().await.len(), 603);
    // What was not read is there when it is.
    assert_eq!(unread.rest().await.len(), 603);
}
