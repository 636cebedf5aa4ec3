//! The cache never breaks a workspace.

use hearth_api::v1::{CacheResult, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, app,
    git::free_port,
    proxy::{Fault, Proxy},
};

#[tokio::test]
async fn a_registry_that_is_down_from_the_start_costs_the_cache_and_nothing_else() {
    // Nobody listens there, and nobody else gets the port.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = held.local_addr().unwrap();
    let lab = Lab::with_cache_at(1, |_| format!("localhost:{}", address.port())).await;
    let repo = app::repo(&lab, "app");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    story.assert_result(CacheResult::Miss);
    story.assert_push(PushOutcome::Failed);
    let push = story.workspace.push.unwrap().message;
    assert!(push.contains("connection refused"), "{push}");
}

#[tokio::test]
async fn a_registry_that_is_lost_before_the_push_costs_the_push_and_nothing_else() {
    let lab = Lab::new(1).await;
    // The registry goes while the step runs, for which the base image was fetched.
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN echo x > /x && sleep 5\n", "");
    let request = hearth_tests::client::request("node-1", &repo.url);
    let runs = |kind: &Kind| matches!(kind, Kind::BuildStep(step) if step.name.contains("RUN"));
    let (id, _) = lab.client.begin_until(request, runs).await;
    lab.registry.stop();
    let story = lab.client.watch(&id, 0).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    story.assert_push(PushOutcome::Failed);
}

#[tokio::test]
async fn a_registry_that_accepts_and_never_answers_does_not_hold_up_a_workspace() {
    let upstream = free_port();
    let proxy = Proxy::to(upstream).await;
    proxy.set(Fault::Silent);
    let lab = Lab::with_cache_at(1, |_| proxy.host()).await;
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\nRUN echo x > /x\n", "");
    let request = hearth_api::v1::PrepareWorkspaceRequest {
        until: hearth_api::v1::WatchUntil::Ready.into(),
        ..hearth_tests::client::request("node-1", &repo.url)
    };
    let story = lab.client.run(request).await;
    story.assert_state(WorkspaceState::Ready);
    story.assert_result(CacheResult::Miss);
}

#[tokio::test]
async fn a_build_cache_that_lost_its_blobs_does_not_fail_the_build() {
    let mut lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_push(PushOutcome::Pushed);
    // The next node must not fetch its base image from the registry that is about to lose it.
    let tar = lab.folder("base.tar");
    let tar = tar.to_str().unwrap();
    lab.vms[0].docker(&["pull", "--quiet", &lab.base]);
    lab.vms[0].docker(&["save", "--output", tar, &lab.base]);
    lab.add_node(&[]).await;
    lab.vms[1].docker(&["load", "--quiet", "--input", tar]);
    lab.registry.lose_blobs(500_000);
    repo.commit(&[("app/main", "second\n")]);

    let story = lab.client.prepare("node-2", &repo.url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    let id = &story.workspace.container_id;
    assert_eq!(lab.vms[1].cat(id, "/opt/built"), "second");
}
