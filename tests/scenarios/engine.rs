//! An engine that goes and comes back.

use std::{future::Future, time::Duration};

use hearth_api::v1::{
    DeleteWorkspaceRequest, FailureReason, ListWorkspacesRequest, NodeState, WorkspaceState,
    event::Kind,
};
use hearth_tests::{
    Lab, app,
    client::{Client, request},
    process::PATIENCE,
};

/// Waits until a call tells what is expected.
async fn until<T, F: Future<Output = T>>(call: impl Fn() -> F, is_so: impl Fn(&T) -> bool) {
    let wait = async {
        while !is_so(&call().await) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, wait).await;
    done.expect("it never came that");
}

async fn node_is(client: &Client, state: NodeState) {
    until(|| client.nodes(), |nodes| nodes[0].state() == state).await;
}

async fn workspaces(client: &Client) -> usize {
    let answer = client
        .workspaces()
        .list_workspaces(ListWorkspacesRequest::default())
        .await;
    answer
        .expect("the workspaces")
        .into_inner()
        .workspaces
        .len()
}

#[tokio::test]
async fn an_engine_that_dies_in_a_build_is_the_reason_and_nothing_is_left_when_it_is_back() {
    let lab = Lab::new(1).await;
    let dockerfile = "FROM BASE\nRUN echo begun && sleep 600\n";
    let slow = app::with_dockerfile(&lab, "slow", dockerfile, "");
    let is_building = |kind: &Kind| matches!(kind, Kind::Log(log) if log.text.contains("begun"));
    let (id, sequence) = lab
        .client
        .begin_until(request("node-1", &slow.url), is_building)
        .await;
    lab.vms[0].kill();
    let story = lab.client.watch(&id, sequence).await;
    story.assert_state(WorkspaceState::Failed);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::EngineFailed, "{failure:?}");
    assert!(
        failure.message.contains("engine does not answer"),
        "{failure:?}"
    );

    // No work goes there, with a reason, until it is back.
    node_is(&lab.client, NodeState::Unavailable).await;
    for node in ["node-1", ""] {
        let refused = lab.client.begin(request(node, &slow.url)).await;
        let status = refused.expect_err("no node can take it");
        assert!(
            status.message().contains("the engine does not answer"),
            "{status:?}"
        );
    }
    lab.vms[0].restart();
    node_is(&lab.client, NodeState::Online).await;
    let volumes = || async { lab.vms[0].docker(&["volume", "ls", "--quiet"]) };
    until(volumes, String::is_empty).await;
    let story = lab
        .client
        .prepare("node-1", &app::repo(&lab, "app").url)
        .await;
    story.assert_state(WorkspaceState::Ready);
}

#[tokio::test]
async fn an_agent_waits_for_its_engine_and_a_deletion_goes_on_when_it_is_back() {
    let mut lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    let id = story.workspace.id;
    lab.vms[0].kill();
    node_is(&lab.client, NodeState::Unavailable).await;
    let lost = lab.client.get(&id).await;
    assert_eq!(lost.state(), WorkspaceState::Lost);
    let failure = lost.failure.expect("why");
    assert_eq!(failure.reason(), FailureReason::EngineFailed);
    let deletion = DeleteWorkspaceRequest {
        workspace_id: id.clone(),
        force: false,
    };
    let refused = lab.client.workspaces().delete_workspace(deletion).await;
    let status = refused.expect_err("the engine is down");
    assert!(status.message().contains("engine"), "{status:?}");
    assert_eq!(lab.client.get(&id).await.state(), WorkspaceState::Deleting);

    lab.vms[0].restart();
    until(|| workspaces(&lab.client), |count| *count == 0).await;
    assert_eq!(lab.vms[0].docker(&["volume", "ls", "--quiet"]), "");

    // A machine may start its agent first.
    lab.agents[0].kill();
    lab.vms[0].kill();
    lab.agents[0].begin_restart();
    lab.vms[0].restart();
    lab.agents[0].wait_ready();
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
}
