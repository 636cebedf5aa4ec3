//! A workspace is prepared once, however many clients follow it.

use hearth_api::v1::{
    CacheAccess, CacheSkipReason, FailureReason, PipelineStep, WatchUntil, WorkspaceState,
};
use tonic::Code;

use crate::support::{
    cache,
    events::{failed, finished, line, preparing, pushed, ready, settled, started, words},
    plane::shop,
    start::{begin, with_agent},
};

#[tokio::test]
async fn a_preparation_is_told_from_its_acceptance_to_its_last_event() {
    let (plane, agent) = with_agent(&[]).await;

    let follower = plane.prepare(shop()).await;
    let id = follower.id().to_owned();
    assert_eq!(follower.snapshot.state(), WorkspaceState::Pending);
    assert_eq!(follower.snapshot.last_sequence, 0);
    assert_eq!(follower.snapshot.node, "n1");

    let request = agent.started(&id, 1).await;
    let cache = request.cache.expect("a cache");
    assert_eq!(cache.repository, cache::repository());
    assert_eq!(cache.tag, "devcontainer-cache");
    assert_eq!(cache.access(), CacheAccess::ReadWrite);

    agent.say(&id, 1, [preparing(), started(PipelineStep::Clone)]);
    agent.say(&id, 1, [finished(PipelineStep::Clone), ready()]);
    agent.say(&id, 1, [pushed(), settled()]);
    let events = follower.rest().await;
    assert_eq!(
        words(&events),
        [
            "PREPARING",
            "started",
            "finished",
            "READY",
            "PUSHED",
            "settled"
        ]
    );
    assert_eq!(events[0].sequence, 1);

    let workspace = plane.get(&id).await.expect("a workspace");
    assert_eq!(workspace.state(), WorkspaceState::Ready);
    assert!(workspace.settled);
    assert_eq!(workspace.last_sequence, 6);
    assert_eq!(workspace.timings.len(), 1);
    plane.stop().await;
}

#[tokio::test]
async fn a_stream_until_ready_ends_before_the_push() {
    let (plane, agent) = with_agent(&[]).await;
    let mut request = shop();
    request.until = WatchUntil::Ready.into();
    let (follower, id) = begin(&plane, &agent, request).await;
    agent.say(&id, 1, [preparing(), ready(), line("pushing")]);
    assert_eq!(words(&follower.rest().await), ["PREPARING", "READY"]);
    // Also for a client that comes when it is long ready.
    let late = plane.try_watch(&id, 0, WatchUntil::Ready).await;
    let events = late.expect("a stream").rest().await;
    assert_eq!(words(&events), ["PREPARING", "READY"]);
}

#[tokio::test]
async fn a_failed_preparation_is_no_failed_call() {
    let (plane, agent) = with_agent(&[]).await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(
        &id,
        1,
        [preparing(), failed(FailureReason::CloneFailed), settled()],
    );
    assert_eq!(
        words(&follower.rest().await),
        ["PREPARING", "CLONE_FAILED", "settled"]
    );
    let workspace = plane.get(&id).await.expect("a workspace");
    let failure = workspace.failure.expect("a failure");
    assert_eq!(failure.reason(), FailureReason::CloneFailed);
}

#[tokio::test]
async fn the_same_request_twice_leads_to_one_workspace() {
    let (plane, agent) = with_agent(&[]).await;
    let mut request = shop();
    request.request_id = "once".into();
    let (first, id) = begin(&plane, &agent, request.clone()).await;
    agent.say(&id, 1, [preparing(), line("one")]);
    let mut first = first;
    first.take(2).await;

    let second = plane.prepare(request.clone()).await;
    assert_eq!(second.id(), id);
    assert_eq!(second.snapshot.last_sequence, 2);
    agent.say(&id, 1, [ready(), settled()]);
    let events = second.rest().await;
    assert_eq!(words(&events), ["READY", "settled"]);
    assert_eq!(events[0].sequence, 3, "what the snapshot holds is not told");

    // It has ended: the stream does, too.
    let third = plane.prepare(request.clone()).await;
    assert_eq!(third.snapshot.state(), WorkspaceState::Ready);
    assert_eq!(third.rest().await, []);
    assert_eq!(agent.starts(), 1);

    request.spec.as_mut().expect("a spec").r#ref = "main".into();
    let status = plane.try_prepare(request).await.err().expect("a refusal");
    assert_eq!(status.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn two_calls_at_once_with_one_request_id_lead_to_one_workspace() {
    let (plane, agent) = with_agent(&[]).await;
    let mut request = shop();
    request.request_id = "once".into();
    let (one, two) = tokio::join!(
        plane.prepare(request.clone()),
        plane.prepare(request.clone())
    );
    assert_eq!(one.id(), two.id());
    agent.started(one.id(), 1).await;
    assert_eq!(agent.starts(), 1);
}

#[tokio::test]
async fn an_agent_is_told_why_it_leaves_the_cache_alone() {
    let (plane, agent) = with_agent(&["--cache-registry=ghcr.io"]).await;
    let mut lightweight = shop();
    lightweight.spec.as_mut().expect("a spec").lightweight = true;
    let mut off = shop();
    off.spec.as_mut().expect("a spec").cache_access = CacheAccess::Off.into();
    let mut elsewhere = shop();
    elsewhere.spec.as_mut().expect("a spec").repository = "https://git.example/a/b".into();
    for (request, reason) in [
        (lightweight, CacheSkipReason::Lightweight),
        (off, CacheSkipReason::Off),
        (elsewhere, CacheSkipReason::NotEligible),
    ] {
        let follower = plane.prepare(request).await;
        let request = agent.started(follower.id(), 1).await;
        assert_eq!(request.cache_skip_reason(), reason);
    }
}

#[tokio::test]
async fn a_long_build_loses_no_line() {
    let (plane, agent) = with_agent(&[]).await;
    let (follower, id) = begin(&plane, &agent, shop()).await;
    agent.say(&id, 1, [preparing()]);
    agent.say(&id, 1, (0..5_000).map(|number| line(number.to_string())));
    agent.say(&id, 1, [ready(), settled()]);
    let events = follower.rest().await;
    assert_eq!(events.len(), 5_003);
    assert_eq!(words(&events[5_000..]), ["4999", "READY", "settled"]);
}
