//! Agents are restarted and nodes vanish; every attempt gets an end.

use hearth_api::v1::{
    FailureReason, NodeState, PipelineStep, PrepareWorkspaceRequest, WorkspaceState,
};
use tonic::Code;

use crate::support::{
    agent::FakeAgent,
    events::{failed, preparing, ready, settled, started, words},
    plane::{Plane, again, shop},
    start::{begin, with_agent},
};

#[tokio::test]
async fn an_agent_that_was_restarted_leaves_a_failure_with_no_open_step() {
    let (plane, mut agent) = with_agent(&[]).await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), started(PipelineStep::Image)]);
    follower.take(2).await;
    agent.restart();
    agent.register(&plane, &[&id]).await;
    assert_eq!(
        words(&follower.rest().await),
        ["broken off", "AGENT_RESTARTED", "settled"]
    );
    let workspace = plane.get(&id).await.expect("a workspace");
    assert_eq!(workspace.state(), WorkspaceState::Failed);

    // And the next attempt succeeds.
    let mut retry = plane.prepare(again(&id)).await;
    agent.started(&id, 2).await;
    agent.say(&id, 2, [preparing(), ready()]);
    retry.until(|kind| *kind == ready()).await;
}

#[tokio::test]
async fn a_ready_workspace_survives_the_restart_of_its_agent_without_its_push() {
    let (plane, mut agent) = with_agent(&[]).await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), ready(), started(PipelineStep::Push)]);
    follower.take(3).await;
    agent.restart();
    agent.register(&plane, &[&id]).await;
    assert_eq!(
        words(&follower.rest().await),
        ["broken off", "INTERRUPTED", "settled"]
    );
    let workspace = plane.get(&id).await.expect("a workspace");
    assert_eq!(workspace.state(), WorkspaceState::Ready);
}

#[tokio::test]
async fn an_attempt_on_a_node_that_vanishes_fails_and_the_node_is_lost() {
    let plane = Plane::fresh(&["--node-lease-seconds=1"]).await;
    let mut agent = FakeAgent::start("n1").await;
    // The registration and the call below have to meet within the lease, however slow the machine is.
    let follower = loop {
        let registered = agent.register(&plane, &[]).await;
        assert_eq!(
            (registered.heartbeat_seconds, registered.lease_seconds),
            (1, 1)
        );
        match plane.try_prepare(shop()).await {
            Ok(follower) => break follower,
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
    };
    let id = follower.id().to_owned();
    agent.crash();
    assert_eq!(words(&follower.rest().await), ["NODE_LOST", "settled"]);
    let workspace = plane.get(&id).await.expect("a workspace");
    assert_eq!(workspace.state(), WorkspaceState::Failed);

    let node = plane.list_nodes().await.remove(0);
    assert_eq!(node.state(), NodeState::Lost);
    let status = plane
        .try_prepare(again(&id))
        .await
        .err()
        .expect("a refusal");
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn an_agent_that_refuses_an_attempt_for_good_fails_it() {
    let (plane, agent) = with_agent(&[]).await;
    agent.refuse(Some(Code::InvalidArgument));
    let follower = plane.prepare(shop()).await;
    assert_eq!(words(&follower.rest().await), ["INTERNAL", "settled"]);
}

#[tokio::test]
async fn an_agent_that_is_busy_for_a_moment_is_asked_again() {
    let (plane, agent) = with_agent(&[]).await;
    agent.refuse(Some(Code::Unavailable));
    let mut follower = plane.prepare(shop()).await;
    let id = follower.id().to_owned();
    agent.when_started_times(2).await;
    agent.refuse(None);
    agent.started(&id, 1).await;
    agent.say(&id, 1, [preparing()]);
    assert_eq!(words(&follower.take(1).await), ["PREPARING"]);
}

#[tokio::test]
async fn a_node_is_told_which_of_its_attempts_were_ended_and_nothing_of_those_that_are_not_known() {
    let (plane, agent) = with_agent(&[]).await;
    let other = FakeAgent::join(&plane, "n2").await;
    let on_n1 = || PrepareWorkspaceRequest {
        node: "n1".into(),
        ..shop()
    };
    let (_follower, followed) = begin(&plane, &agent, on_n1()).await;
    let (follower, settled_one) = begin(&plane, &agent, on_n1()).await;
    agent.say(
        &settled_one,
        1,
        [preparing(), failed(FailureReason::BuildFailed), settled()],
    );
    follower.rest().await;
    let (_first, replaced) = begin(&plane, &agent, on_n1()).await;
    let _second = plane.prepare(again(&replaced)).await;
    agent.started(&replaced, 2).await;

    let on_the_node = [
        (&*followed, 1),
        (&*settled_one, 1),
        (&*replaced, 1),
        (&*replaced, 2),
        ("ws-unknown", 7),
    ];
    let to_end = agent
        .prepares(&plane, &on_the_node)
        .await
        .expect("an answer");
    // The database may be new, or an older copy: what it does not know may be work that goes on.
    let expected = [(&*settled_one, 1), (&*replaced, 1)];
    assert_eq!(
        to_end,
        expected.map(|(id, attempt)| (id.to_owned(), attempt))
    );
    let to_end = agent.prepares(&plane, &[(&replaced, 3)]).await;
    assert_eq!(to_end.expect("an answer"), [], "newer than what is known");
    let to_end = other.prepares(&plane, &[(&followed, 1)]).await;
    assert_eq!(to_end.expect("an answer"), [], "nobody has moved it away");
    let malformed = agent.prepares(&plane, &[("ws-1", 0)]).await;
    assert_eq!(
        malformed.expect_err("a fault").code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn a_connection_that_is_cut_again_and_again_loses_and_doubles_no_event() {
    let (plane, agent) = with_agent(&[]).await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing()]);
    for number in 0..200 {
        agent.say(&id, 1, [started(PipelineStep::Image)]);
        if number % 20 == 0 {
            agent.cut_connection(&plane);
            plane.get(&id).await.expect("a workspace");
        }
    }
    agent.say(&id, 1, [ready(), settled()]);
    let events = follower.rest().await;
    for (event, sequence) in events.iter().zip(1..) {
        assert_eq!(event.sequence, sequence);
    }
    let begun = started(PipelineStep::Image);
    let begun = events
        .iter()
        .filter(|event| event.kind.as_ref() == Some(&begun));
    assert_eq!(begun.count(), 200);
    assert_eq!(agent.starts(), 1);
}

#[tokio::test]
async fn only_the_agent_of_a_node_can_open_its_connection() {
    let (plane, agent) = with_agent(&[]).await;
    let session = plane.session_of("n2");
    let status = session.open_connection().await.err().expect("a refusal");
    assert_eq!(status.code(), Code::Unauthenticated);
    // Another process that registers the node takes its place.
    let other = FakeAgent::join(&plane, "n1").await;
    let (_follower, id) = begin(&plane, &other, shop()).await;
    assert_eq!((agent.starts(), other.starts()), (0, 1), "{id}");
}
