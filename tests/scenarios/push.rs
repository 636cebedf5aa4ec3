//! READY is reported first, and nothing after it touches the workspace.

use hearth_api::v1::{
    CacheAccess, CacheResult, PipelineStep, PrepareWorkspaceRequest, PushOutcome, WatchUntil,
    WorkspaceState, event::Kind,
};
use hearth_tests::{
    Lab, app,
    client::request,
    proxy::{Fault, Proxy},
};

async fn lab_behind_a_proxy() -> (Lab, Proxy) {
    let mut proxy_to = 0;
    let lab = Lab::with_cache_at(0, |registry| {
        proxy_to = registry.port();
        registry.host()
    })
    .await;
    (lab, Proxy::to(proxy_to).await)
}

/// A lab whose cache is reached through a proxy; the base image is not.
async fn lab(nodes: usize) -> (Lab, Proxy) {
    let (lab, proxy) = lab_behind_a_proxy().await;
    let mut lab = lab.caching_at(&proxy.host());
    for _ in 0..nodes {
        lab.add_node(&[]).await;
    }
    (lab, proxy)
}

#[tokio::test]
async fn a_push_that_crawls_leaves_the_workspace_alone_and_ends_with_its_deletion() {
    let (lab, proxy) = lab(1).await;
    proxy.set(Fault::SlowPush(10_000));
    let repo = app::repo(&lab, "app");
    let until_ready = PrepareWorkspaceRequest {
        until: WatchUntil::Ready.into(),
        ..request("node-1", &repo.url)
    };
    let story = lab.client.run(until_ready).await;
    story.assert_state(WorkspaceState::Ready);
    assert!(!story.workspace.settled);
    hearth_tests::process::eventually("the push is under way", || proxy.uploads() > 0).await;
    let id = &story.workspace.container_id;
    assert_eq!(lab.vms[0].cat(id, "/opt/built"), "first");
    lab.client.delete(&story.workspace.id).await;
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn a_push_that_is_refused_is_an_outcome_that_says_what_to_do() {
    let (lab, proxy) = lab(1).await;
    proxy.set(Fault::DenyPush);
    let repo = app::repo(&lab, "app");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    story.assert_push(PushOutcome::Denied);
    let failed = |kind: &Kind| matches!(kind, Kind::StepFinished(step) if step.step() == PipelineStep::Push && !step.succeeded);
    assert!(story.kinds().any(failed), "the step says that it failed");
    let message = story.workspace.push.unwrap().message;
    assert!(message.contains("right to push"), "{message}");
}

#[tokio::test]
async fn a_push_that_takes_too_long_is_given_up() {
    let (mut lab, proxy) = lab(0).await;
    proxy.set(Fault::SlowPush(10_000));
    lab.add_node(&["--push-timeout-seconds", "2"]).await;
    let repo = app::repo(&lab, "app");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    story.assert_push(PushOutcome::TimedOut);
}

#[tokio::test]
async fn access_to_the_cache_is_what_the_request_says() {
    let (lab, proxy) = lab(1).await;
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN echo x > /x\n", "");
    let with = |access: CacheAccess| {
        let mut request = request("node-1", &repo.url);
        request.spec.as_mut().unwrap().cache_access = access.into();
        lab.client.run(request)
    };
    let off = with(CacheAccess::Off).await;
    assert_eq!(
        (off.result(), off.push()),
        (CacheResult::Skipped, PushOutcome::SkippedOff)
    );
    let read_only = with(CacheAccess::ReadOnly).await;
    read_only.assert_push(PushOutcome::SkippedReadOnly);
    assert_eq!(proxy.uploads(), 0, "no request was allowed to write so far");
    let both = with(CacheAccess::ReadWrite).await;
    both.assert_push(PushOutcome::Pushed);
    let hit = with(CacheAccess::ReadOnly).await;
    hit.assert_result(CacheResult::Exact);
}
