//! A rebuild keeps the clone, whatever becomes of the attempt; and nodes list configurations.

use std::path::PathBuf;

use hearth_api::v1::{
    CacheResult, ConfigKind, FailureReason, GetBuildLogRequest, ListConfigsRequest,
    PrepareWorkspaceRequest, PushOutcome, Rebuild, WatchUntil, WorkspaceState, event::Kind,
};
use hearth_tests::client::Story;
use tonic::Code;

use crate::fleet::{Fleet, repository};

fn rebuild(id: &str, kind: Rebuild) -> PrepareWorkspaceRequest {
    PrepareWorkspaceRequest {
        workspace_id: id.to_owned(),
        rebuild: kind.into(),
        until: WatchUntil::Settled.into(),
        ..PrepareWorkspaceRequest::default()
    }
}

/// The clone of a workspace on the first node.
fn clone(fleet: &Fleet, id: &str) -> PathBuf {
    let volumes = fleet.folder().join("node-1/volumes");
    volumes.join(id).join("app-1")
}

fn work(fleet: &Fleet, id: &str) -> Option<String> {
    std::fs::read_to_string(clone(fleet, id).join("work")).ok()
}

#[tokio::test]
async fn work_in_a_clone_outlasts_rebuilds_failures_and_killed_agents_and_ends_with_a_retry() {
    let mut fleet = Fleet::new(1, &["--node-lease-seconds=6"]).await;
    let first = fleet.client.prepare("node-1", &repository(1)).await;
    first.assert_push(PushOutcome::Pushed);
    let id = first.workspace.id.clone();
    std::fs::write(clone(&fleet, &id).join("work"), "unpushed").expect("a file");
    let same = fleet.client.run(rebuild(&id, Rebuild::WithCache)).await;
    same.assert_state(WorkspaceState::Ready);
    same.assert_result(CacheResult::Exact);
    assert_eq!(work(&fleet, &id).as_deref(), Some("unpushed"));

    // What is built from it is nobody else's.
    let dockerfile = clone(&fleet, &id).join(".devcontainer/Dockerfile");
    let text = std::fs::read_to_string(&dockerfile).expect("a Dockerfile");
    std::fs::write(&dockerfile, format!("{text}RUN echo edited\n")).expect("a file");
    let edited = fleet.client.run(rebuild(&id, Rebuild::WithCache)).await;
    edited.assert_state(WorkspaceState::Ready);
    edited.assert_push(PushOutcome::SkippedReadOnly);

    // The agent is killed while it builds; another one does not take the clone for its leftovers.
    fleet.builds.hold();
    let begun = fleet.builds.begun().len();
    let builds = |kind: &Kind| matches!(kind, Kind::StepStarted(step) if step.description.contains("builds"));
    let again = rebuild(&id, Rebuild::WithoutCache);
    fleet.client.begin_until(again.clone(), builds).await;
    fleet.builds.until_begun(begun + 1).await;
    fleet.node("node-1").kill();
    fleet.node("node-1").start().await;
    let failed = fleet.client.watch(&id, 0).await;
    failed.assert_state(WorkspaceState::Failed);
    let failure = failed.workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::AgentRestarted);
    assert_eq!(work(&fleet, &id).as_deref(), Some("unpushed"));

    // One that is replaced in the middle leaves it as well.
    fleet.client.begin_until(again.clone(), builds).await;
    fleet.builds.let_go();
    let mended = fleet.client.run(again).await;
    mended.assert_state(WorkspaceState::Ready);
    mended.assert_push(PushOutcome::SkippedOff);
    assert_eq!(work(&fleet, &id).as_deref(), Some("unpushed"));

    let retry = fleet.client.prepare_anew(&id).await;
    retry.assert_state(WorkspaceState::Ready);
    assert_eq!(work(&fleet, &id), None);
    fleet.client.delete(&id).await;
    assert!(!fleet.nodes[0].engine.has(&id));
}

#[tokio::test]
async fn configurations_and_the_log_of_a_build_come_from_a_node_and_leave_nothing_there() {
    let fleet = Fleet::new(2, &[]).await;
    let mut client = fleet.client.workspaces();
    let request = ListConfigsRequest {
        repository: repository(1),
        r#ref: String::new(),
    };
    let listed = client
        .list_configs(request)
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(listed.used.as_deref(), Some(""));
    let kinds: Vec<_> = listed.configs.iter().map(|one| one.kind()).collect();
    assert_eq!(kinds, [ConfigKind::Dockerfile]);
    for node in ["node-1", "node-2"] {
        let listings = fleet.folder().join(node).join("state/listings");
        let left = std::fs::read_dir(listings).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{node}");
    }
    let story: Story = fleet.client.prepare("node-1", &repository(1)).await;
    let id = story.workspace.id;
    let request = GetBuildLogRequest {
        workspace_id: id.clone(),
    };
    let log = client.get_build_log(request.clone()).await.expect("a log");
    let mut log = log.into_inner();
    while let Some(piece) = log.message().await.expect("the log is whole") {
        assert_eq!(piece.attempt, 1);
    }
    fleet.client.delete(&id).await;
    let error = client.get_build_log(request).await.expect_err("it is gone");
    assert_eq!(error.code(), Code::NotFound);
}
