//! What `ls` and `get` say of a workspace is true now, and not only when it became ready.

use hearth_api::v1::{FailureReason, NodeState, WorkspaceState};
use hearth_tests::{Lab, app, client::Client};

/// Waits until the workspace is in this state, for this reason.
async fn until(client: &Client, id: &str, state: WorkspaceState, reason: Option<FailureReason>) {
    let wait = async {
        loop {
            let workspace = client.get(id).await;
            let why = workspace.failure.as_ref().map(|failure| failure.reason());
            if (workspace.state(), why) == (state, reason) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let done = tokio::time::timeout(hearth_tests::process::PATIENCE, wait).await;
    assert!(done.is_ok(), "never {state:?}: {:#?}", client.get(id).await);
}

async fn is_ready(client: &Client, id: &str) {
    until(client, id, WorkspaceState::Ready, None).await;
}

async fn is_stopped(client: &Client, id: &str) {
    let reason = Some(FailureReason::ContainerGone);
    until(client, id, WorkspaceState::Stopped, reason).await;
}

async fn is_lost(client: &Client, id: &str, reason: FailureReason) {
    until(client, id, WorkspaceState::Lost, Some(reason)).await;
}

#[tokio::test]
async fn a_container_that_is_stopped_or_removed_is_not_ready() {
    let lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    let (id, container) = (&story.workspace.id, &story.workspace.container_id);
    let gone = FailureReason::ContainerGone;
    lab.vms[0].docker(&["stop", "--time", "0", container]);
    is_stopped(&lab.client, id).await;
    lab.vms[0].docker(&["start", container]);
    is_ready(&lab.client, id).await;
    lab.vms[0].docker(&["rm", "--force", container]);
    is_lost(&lab.client, id, gone).await;

    let story = lab.client.prepare_anew(id).await;
    story.assert_state(WorkspaceState::Ready);
}

#[tokio::test]
async fn the_workspaces_of_an_agent_that_is_gone_are_lost_and_they_are_back_with_it() {
    let mut lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    let id = story.workspace.id;

    lab.agents[0].kill();
    is_lost(&lab.client, &id, FailureReason::NodeLost).await;
    lab.agents[0].restart();
    is_ready(&lab.client, &id).await;

    // One that is stopped says so, and nobody waits for the end of its lease.
    let status = lab.agents[0].process().terminate();
    assert!(status.success(), "{status}");
    let workspace = lab.client.get(&id).await;
    assert_eq!(workspace.state(), WorkspaceState::Lost, "{workspace:#?}");
    assert_eq!(lab.client.nodes().await[0].state(), NodeState::Left);
    lab.agents[0].restart();
    is_ready(&lab.client, &id).await;
}
