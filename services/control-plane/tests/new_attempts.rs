//! A retry replaces work, it never doubles it.

use hearth_api::v1::{FailureReason, PipelineStep, WatchUntil, WorkspaceState};
use tonic::Code;

use crate::support::{
    agent::FakeAgent,
    events::{failed, line, preparing, ready, settled, started, words},
    plane::{again, shop},
    start::{begin, with_agent},
};

#[tokio::test]
async fn a_new_attempt_on_a_running_one_ends_it_and_the_log_goes_on() {
    let (plane, agent) = with_agent(&[]).await;
    let (mut first, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing(), started(PipelineStep::Clone)]);
    first.take(2).await;

    let second = plane.prepare(again(&id)).await;
    assert_eq!(second.snapshot.attempt, 2);
    assert_eq!(second.snapshot.state(), WorkspaceState::Pending);
    let request = agent.started(&id, 2).await;
    assert_eq!(
        request.spec, second.snapshot.spec,
        "the spec is the workspace's own"
    );
    // Too late: the control plane no longer follows the old attempt.
    agent.say(&id, 1, [line("late")]);
    agent.say(&id, 2, [preparing(), ready(), settled()]);

    assert_eq!(
        words(&second.rest().await),
        ["PREPARING", "READY", "settled"]
    );
    // A client that followed the first attempt sees its end and then the second.
    let events = first.rest().await;
    assert_eq!(
        words(&events),
        [
            "broken off",
            "REPLACED",
            "settled",
            "PENDING",
            "PREPARING",
            "READY",
            "settled"
        ]
    );
    let attempts: Vec<_> = events.iter().map(|event| event.attempt).collect();
    assert_eq!(attempts, [1, 1, 1, 2, 2, 2, 2]);
}

#[tokio::test]
async fn the_snapshot_of_a_new_attempt_knows_nothing_of_the_one_before() {
    let (plane, agent) = with_agent(&[]).await;
    let (first, id) = begin(&plane, &agent, shop()).await;
    agent.say(
        &id,
        1,
        [preparing(), failed(FailureReason::BuildFailed), settled()],
    );
    first.rest().await;
    let second = plane.prepare(again(&id)).await;
    let snapshot = &second.snapshot;
    assert_eq!((snapshot.attempt, snapshot.last_sequence), (2, 4));
    assert!(snapshot.failure.is_none() && !snapshot.settled);
    // A stream until READY means the newest attempt, though the one before has failed.
    agent.started(&id, 2).await;
    let late = plane.try_watch(&id, 0, WatchUntil::Ready).await;
    agent.say(&id, 2, [preparing(), ready()]);
    assert_eq!(
        words(&late.expect("a stream").rest().await),
        [
            "PREPARING",
            "BUILD_FAILED",
            "settled",
            "PENDING",
            "PREPARING",
            "READY"
        ]
    );
}

#[tokio::test]
async fn the_same_retry_twice_is_one_attempt() {
    let (plane, agent) = with_agent(&[]).await;
    let (_first, id) = begin(&plane, &agent, shop()).await;
    let mut retry = again(&id);
    retry.request_id = "retry".into();
    for _ in 0..2 {
        let follower = plane.prepare(retry.clone()).await;
        assert_eq!(follower.snapshot.attempt, 2);
    }
    agent.started(&id, 2).await;
    assert_eq!(agent.starts(), 2);
}

#[tokio::test]
async fn a_new_attempt_stays_on_its_node() {
    let (plane, agent) = with_agent(&[]).await;
    let first = plane.prepare(shop()).await;
    assert_eq!(first.snapshot.node, "n1");
    agent.started(first.id(), 1).await;
    let _other = FakeAgent::join(&plane, "n2").await;
    let mut elsewhere = again(first.id());
    elsewhere.node = "n2".into();
    let status = plane.try_prepare(elsewhere).await.err().expect("a refusal");
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = plane.try_prepare(again("ws-none")).await.err();
    assert_eq!(status.expect("a refusal").code(), Code::NotFound);
}
