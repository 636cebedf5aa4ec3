//! What the control plane gave up while it did not hear of a node ends there as well.

use hearth_api::v1::{FailureReason, NodeState, WorkspaceState};
use hearth_tests::process::PATIENCE;

use crate::fleet::{Fleet, repository};

/// Waits until something on the node is as it should be.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn an_attempt_of_a_lost_node_ends_there_when_the_node_is_back_and_a_retry_runs() {
    let fleet = Fleet::new(1, &["--node-lease-seconds=3"]).await;
    fleet.builds.hold();
    let preparations = fleet.prepare([("node-1", &*repository(1))]);
    fleet.builds.until_begun(1).await;
    fleet.line.cut();
    let lost = preparations.stories().await.remove(0).workspace;
    let failure = lost.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::NodeLost, "{failure:?}");
    assert_eq!(fleet.builds.ongoing(), 1, "the node knows of nothing");

    fleet.line.mend();
    fleet.builds.until_none().await;
    let node = &fleet.nodes[0];
    until("it is removed", || !node.engine.has(&lost.id)).await;
    assert_eq!(fleet.client.nodes().await[0].state(), NodeState::Online);

    fleet.builds.let_go();
    let retried = fleet.client.prepare_anew(&lost.id).await;
    retried.assert_state(WorkspaceState::Ready);
    assert_eq!(retried.workspace.attempt, 2);
}

#[tokio::test]
async fn what_became_ready_while_its_node_was_lost_is_removed_and_a_retry_runs() {
    let fleet = Fleet::new(1, &["--node-lease-seconds=3"]).await;
    fleet.builds.hold();
    let preparations = fleet.prepare([("node-1", &*repository(1))]);
    fleet.builds.until_begun(1).await;
    fleet.line.cut();
    let lost = preparations.stories().await.remove(0).workspace;
    fleet.builds.let_go();
    let node = &fleet.nodes[0];
    let is_ready = || node.engine.runs(&lost.id) && node.attempts() == 0;
    until("it is ready on its node", is_ready).await;

    fleet.line.mend();
    until("it is removed", || !node.engine.has(&lost.id)).await;
    let still = fleet.client.get(&lost.id).await;
    assert_eq!(still.state(), WorkspaceState::Failed);
    let retried = fleet.client.prepare_anew(&lost.id).await;
    retried.assert_state(WorkspaceState::Ready);
    assert!(node.engine.runs(&lost.id));
}

#[tokio::test]
async fn an_agent_that_is_asked_to_end_tells_itself_what_becomes_of_its_attempts() {
    let mut fleet = Fleet::new(1, &[]).await;
    fleet.builds.hold();
    let preparations = fleet.prepare([("node-1", &*repository(1))]);
    fleet.builds.until_begun(1).await;
    fleet.node("node-1").stop().await;
    let story = preparations.stories().await.remove(0);
    story.assert_whole();
    let failure = story.workspace.failure.clone().expect("a failure");
    // In the agent's words, not in those of a control plane that heard no more of it.
    assert_eq!(failure.message, "the agent was stopped", "{failure:?}");
}
