//! What the control plane gave up while it did not hear of a node ends there as well.

use hearth_api::v1::{FailureReason, NodeState, WorkspaceState};
use hearth_tests::process::PATIENCE;

use crate::fleet::{Fleet, repository};

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
    let tidy = async {
        while node.engine.has(&lost.id) {
            tokio::task::yield_now().await;
        }
    };
    let tidied = tokio::time::timeout(PATIENCE, tidy).await;
    tidied.expect("what the attempt made is removed");
    assert_eq!(fleet.client.nodes().await[0].state(), NodeState::Online);

    fleet.builds.let_go();
    let retried = fleet.client.prepare_anew(&lost.id).await;
    retried.assert_state(WorkspaceState::Ready);
    assert_eq!(retried.workspace.attempt, 2);
}
