//! A restart of the control plane loses nothing and repeats nothing.

use std::path::Path;

use hearth_api::v1::{
    InvalidateEntryRequest, ListEntriesRequest, ListWorkspacesRequest, WorkspaceState,
};
use tonic::Code;

use crate::support::{
    agent::{FakeAgent, Removal},
    cache,
    events::{line, preparing, ready, settled, words},
    plane::{Plane, shop},
    start::begin,
};

#[tokio::test]
async fn a_restart_misses_no_event_and_stores_none_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), line("before")]);
    follower.take(2).await;
    plane.stop().await;
    let ended = follower
        .try_next()
        .await
        .expect_err("the end of the process");
    assert_eq!(ended.code(), Code::Unavailable);

    agent.say(&id, 1, [line("meanwhile")]);
    let plane = Plane::start(directory.path(), &[]).await;
    agent.say(&id, 1, [line("after"), ready(), settled()]);
    let events = plane.watch(&id, 0).await.rest().await;
    assert_eq!(
        words(&events),
        [
            "PREPARING",
            "before",
            "meanwhile",
            "after",
            "READY",
            "settled"
        ]
    );
    assert_eq!(events[0].sequence, 1);
    assert_eq!(
        agent.starts(),
        1,
        "the attempt goes on, it does not begin anew"
    );
    assert!(agent.heartbeat(&plane).await, "the node is still known");
}

#[tokio::test]
async fn an_attempt_that_never_reached_its_agent_is_handed_over_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let mut agent = FakeAgent::join(&plane, "n1").await;
    agent.crash();
    let follower = plane.prepare(shop()).await;
    let id = follower.id().to_owned();
    plane.stop().await;

    agent.restart();
    let plane = Plane::start(directory.path(), &[]).await;
    agent.register(&plane, &[]).await;
    agent.started(&id, 1).await;
    agent.say(&id, 1, [preparing(), ready(), settled()]);
    let events = plane.watch(&id, 0).await.rest().await;
    assert_eq!(words(&events), ["PREPARING", "READY", "settled"]);
}

#[tokio::test]
async fn a_request_id_is_remembered_over_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let mut request = shop();
    request.request_id = "once".into();
    let (_follower, id) = begin(&plane, &agent, request.clone()).await;
    plane.stop().await;
    let plane = Plane::start(directory.path(), &[]).await;
    assert_eq!(plane.prepare(request).await.id(), id);
}

#[tokio::test]
async fn a_deletion_that_a_restart_interrupted_is_finished() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let (_follower, id) = begin(&plane, &agent, shop()).await;
    agent.on_removal(Removal::Hangs);
    let deletion = plane.delete(&id, false);
    let interrupted = async {
        agent.asked_to_remove(&id).await;
        let workspace = plane.get(&id).await.expect("a workspace");
        assert_eq!(workspace.state(), WorkspaceState::Deleting);
    };
    tokio::select! {
        _ = deletion => panic!("the removal hangs"),
        () = interrupted => {}
    }
    plane.stop().await;

    agent.on_removal(Removal::Works);
    let plane = Plane::start(directory.path(), &[]).await;
    // A second request waits for the deletion that runs, or comes when it is done.
    let again = plane.delete(&id, false).await;
    assert!(again.is_ok() || again.is_err_and(|status| status.code() == Code::NotFound));
    assert!(plane.get(&id).await.is_err());
}

/// Writes what no control plane writes.
async fn spoil(directory: &Path, statement: &'static str) {
    let database = format!("sqlite://{}", directory.join("hearth.db").display());
    let database = sqlx::SqlitePool::connect(&database).await;
    let database = database.expect("a database");
    let written = sqlx::query(statement).execute(&database).await;
    written.expect("a write");
    database.close().await;
}

#[tokio::test]
async fn rows_that_cannot_be_read_hide_nothing_else_and_are_removed_on_request() {
    for statement in [
        "UPDATE workspaces SET snapshot = x'ffff' WHERE number <= 2",
        "UPDATE workspaces SET snapshot = x'' WHERE number <= 2",
        "UPDATE workspaces SET progress = x'ffff', state = 99 WHERE number <= 2",
        // Also the newest, and a node.
        "UPDATE workspaces SET snapshot = x'ffff' WHERE number <> 3",
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let plane = Plane::start(directory.path(), &[]).await;
        let agent = FakeAgent::join(&plane, "n1").await;
        let mut ids = Vec::new();
        for number in 0..4 {
            let (follower, id) = begin(&plane, &agent, shop()).await;
            if number != 1 {
                agent.say(&id, 1, [preparing(), ready(), settled()]);
                follower.rest().await;
            }
            ids.push(id);
        }
        plane.stop().await;
        spoil(directory.path(), statement).await;
        spoil(directory.path(), "UPDATE nodes SET info = x'ffff'").await;

        let plane = Plane::start(directory.path(), &[]).await;
        let agent_is_back = agent.register(&plane, &[]).await;
        assert!(!agent_is_back.session_token.is_empty());
        let mut client = plane.workspaces().await;
        let list = client
            .list_workspaces(ListWorkspacesRequest::default())
            .await;
        let list = list.expect("a list").into_inner().workspaces;
        let listed: Vec<_> = list.iter().map(|workspace| workspace.id.clone()).collect();
        assert!(
            listed.contains(&ids[2]) && !listed.contains(&ids[0]),
            "{listed:?}"
        );
        plane.list_nodes().await;

        let refused = plane.get(&ids[0]).await.expect_err("it cannot be read");
        assert!(
            refused.message().contains(&format!("hearth rm {}", ids[0])),
            "{refused:?}"
        );
        assert!(!refused.message().contains("prost"), "{refused:?}");
        for id in &ids[..2] {
            plane.delete(id, false).await.expect("a deletion");
            agent.asked_to_remove(id).await;
            let gone = plane.get(id).await.expect_err("it is gone");
            assert_eq!(gone.code(), Code::NotFound);
        }
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_hides_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), line("one"), ready(), settled()]);
    follower.rest().await;
    plane.stop().await;
    let statement = "UPDATE events SET event = x'ffff' WHERE sequence = 2";
    spoil(directory.path(), statement).await;

    let plane = Plane::start(directory.path(), &[]).await;
    let events = plane.watch(&id, 0).await.rest().await;
    assert_eq!(words(&events), ["PREPARING", "None", "READY", "settled"]);
    assert_eq!(plane.watch(&id, 1).await.rest().await.len(), 3);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_holds_up_no_workspace_and_is_dropped_on_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    let (_, id) = begin(&plane, &agent, shop()).await;
    for text in ["a", "b"] {
        let entry = cache::entry(&cache::manifest("Dockerfile", text), text);
        let committed = cache::commit(&plane, &id, 1, entry).await;
        committed.expect("a commit");
    }
    plane.stop().await;
    spoil(
        directory.path(),
        "UPDATE cache_entries SET manifest = '{}' WHERE rowid = (SELECT max(rowid) FROM cache_entries)",
    )
    .await;

    let plane = Plane::start(directory.path(), &[]).await;
    begin(&plane, &agent, shop()).await;
    let list = ListEntriesRequest::default();
    let list = plane.cache_service().await.list_entries(list).await;
    assert!(!list.expect("a list").into_inner().entries.is_empty());
    let request = InvalidateEntryRequest {
        repository: "https://github.com/acme/shop".into(),
        ..InvalidateEntryRequest::default()
    };
    let dropped = plane.cache_service().await.invalidate_entry(request).await;
    assert_eq!(dropped.expect("an answer").into_inner().entries.len(), 1);
}
