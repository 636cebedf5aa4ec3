//! An engine that answers pings, and hangs on everything else.

use hearth_api::v1::{FailureReason, NodeState, WorkspaceState};
use hearth_tests::{client::request, process::PATIENCE};

use crate::fleet::{Fleet, repository};

async fn until_node_is(fleet: &Fleet, state: NodeState) {
    let wait = async {
        while fleet.client.nodes().await[0].state() != state {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, wait).await;
    done.unwrap_or_else(|_| panic!("the node is never {state:?}"));
}

#[tokio::test]
async fn an_attempt_ends_within_its_limit_and_the_node_is_heard_and_works_again_later() {
    let fleet = Fleet::new(1, &["--node-lease-seconds=9"]).await;
    let engine = &fleet.nodes[0].engine;
    engine.hang();
    let mut wish = request("node-1", &repository(1));
    wish.spec.as_mut().expect("a spec").timeout_seconds = 2;
    let story = fleet.client.run(wish).await;
    story.assert_state(WorkspaceState::Failed);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::EngineFailed, "{failure:?}");
    let sentence = "the engine has not answered for 10 s";
    assert!(failure.message.contains(sentence), "{failure:?}");

    until_node_is(&fleet, NodeState::Unavailable).await;
    // The control plane forgets that it heard of the node, which says it again.
    fleet.line.cut();
    until_node_is(&fleet, NodeState::Lost).await;
    fleet.line.mend();
    until_node_is(&fleet, NodeState::Unavailable).await;
    let info = fleet.client.nodes().await.remove(0).info;
    assert_eq!(info.expect("a description").problem, sentence);

    engine.go_on();
    until_node_is(&fleet, NodeState::Online).await;
    let retried = fleet.client.prepare_anew(&story.workspace.id).await;
    retried.assert_state(WorkspaceState::Ready);
}
