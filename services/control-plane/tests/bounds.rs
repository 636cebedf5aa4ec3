//! What is too much is refused with a sentence, and what goes on goes on.

use hearth_api::v1::{
    ListWorkspacesRequest, PrepareWorkspaceRequest, Warning, WatchUntil, WorkspaceState,
    event::Kind,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    agent::FakeAgent,
    events::{line, preparing, ready, settled, words},
    plane::{Plane, again, shop},
    soon,
    start::{begin, with_agent},
};

/// The reason of a refusal that is worth repeating.
fn reason(refused: &Status) -> String {
    let details = refused.get_error_details();
    assert!(details.retry_info().is_some(), "{refused:?}");
    details.error_info().expect("error info").reason.clone()
}

async fn workspaces(plane: &Plane) -> usize {
    let request = ListWorkspacesRequest::default();
    let list = plane.workspaces().await.list_workspaces(request).await;
    list.expect("a list").into_inner().workspaces.len()
}

#[tokio::test]
async fn as_many_streams_are_open_as_are_allowed() {
    let (plane, agent) = with_agent(&["--max-streams=2"]).await;
    let (first, id) = begin(&plane, &agent, shop()).await;
    let _second = plane.watch(&id, 0).await;
    let refused = plane.try_watch(&id, 0, WatchUntil::Settled).await;
    for refused in [refused.err(), plane.try_prepare(shop()).await.err()] {
        let refused = refused.expect("two streams are open");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(reason(&refused), "TOO_MANY_STREAMS");
        assert!(refused.message().contains("--max-streams"), "{refused:?}");
    }
    assert_eq!(workspaces(&plane).await, 1, "nothing was begun");
    // Other calls are no streams, and a client that goes makes room.
    plane.get(&id).await.expect("a workspace");
    drop(first);
    let room = async {
        while plane.try_watch(&id, 0, WatchUntil::Settled).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon("room for a stream", room).await;
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_no_work_and_what_goes_on_goes_on() {
    const LITTLE: &str = "--database-min-free-mib=1000000000000";
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing()]);
    follower.take(1).await;
    plane.stop().await;

    let plane = Plane::start(directory.path(), &[LITTLE]).await;
    agent.register(&plane, &[]).await;
    let unready = async {
        loop {
            let answer = plane.admin("/readyz").await;
            if answer.contains("MiB free") {
                return answer;
            }
        }
    };
    let answer = soon("a reason", unready).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    for request in [shop(), again(&id)] {
        let refused = plane.try_prepare(request).await;
        let refused = refused.err().expect("there is too little room");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(reason(&refused), "DISK_FULL");
        let told = refused.message();
        assert!(told.contains("--database-min-free-mib"), "{told}");
    }
    assert_eq!(workspaces(&plane).await, 1);
    agent.say(&id, 1, [ready(), settled()]);
    let rest = plane.watch(&id, 1).await.rest().await;
    assert_eq!(words(&rest), ["READY", "settled"]);
    // Deleting makes room.
    plane.delete(&id, false).await.expect("a deletion");
}

#[tokio::test]
async fn a_request_that_was_answered_before_is_answered_on_a_full_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let request = PrepareWorkspaceRequest {
        request_id: "once".into(),
        ..shop()
    };
    let plane = Plane::start(directory.path(), &[]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let (_, id) = begin(&plane, &agent, request.clone()).await;
    plane.stop().await;
    let plane = Plane::start(directory.path(), &["--database-min-free-mib=1000000000000"]).await;
    assert_eq!(plane.prepare(request).await.id(), id);
}

#[tokio::test]
async fn what_an_agent_sends_is_cut_and_what_is_no_message_ends_the_attempt() {
    let (plane, agent) = with_agent(&[]).await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    let warning = |bytes| {
        Kind::Warning(Warning {
            message: "x".repeat(bytes),
        })
    };
    agent.say(
        &id,
        1,
        [preparing(), warning(900_000), line("y".repeat(900_000))],
    );
    for event in follower.take(3).await {
        let bytes = prost::Message::encoded_len(&event);
        assert!(bytes < 128 * 1024, "{bytes}");
    }
    agent.say(&id, 1, [warning(10_000_000)]);
    let rest = follower.rest().await;
    assert!(!rest.is_empty());
    let workspace = plane.get(&id).await.expect("a workspace");
    assert_eq!(workspace.state(), WorkspaceState::Failed);
    let told = workspace.failure.expect("a failure").message;
    assert!(told.contains("too large"), "{told}");
}

#[tokio::test]
async fn a_flood_of_output_leaves_the_results_and_shrinks_with_its_workspace() {
    let directory = tempfile::tempdir().expect("a directory");
    let size = || {
        ["hearth.db", "hearth.db-wal"].map(|name| {
            let file = std::fs::metadata(directory.path().join(name));
            file.map_or(0, |file| file.len())
        })
    };
    let plane = Plane::start(directory.path(), &["--history-mib=2"]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    drop(follower);
    agent.say(&id, 1, [preparing()]);
    for number in 0..1000 {
        agent.say(&id, 1, [line(format!("{number} {}", "x".repeat(32_000)))]);
    }
    agent.say(&id, 1, [ready(), settled()]);
    let last = async {
        while !plane
            .get(&id)
            .await
            .is_ok_and(|workspace| workspace.settled)
        {
            tokio::task::yield_now().await;
        }
    };
    soon("the end", last).await;
    let events = plane.watch(&id, 0).await.rest().await;
    let bytes: usize = events.iter().map(prost::Message::encoded_len).sum();
    assert!((1_500_000..=2 * 1024 * 1024).contains(&bytes), "{bytes}");
    let words = words(&events);
    assert_eq!(words[0], "PREPARING");
    assert!(words[words.len() - 3].starts_with("999 "));
    assert_eq!(words[words.len() - 2..], ["READY", "settled"]);
    let flooded: u64 = size().iter().sum();
    plane.delete(&id, false).await.expect("a deletion");
    let left: u64 = size().iter().sum();
    assert!(flooded > 2_000_000 && left < 600_000, "{flooded} {left}");
}
