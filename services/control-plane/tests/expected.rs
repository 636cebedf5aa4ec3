//! After a start of the control plane its nodes are expected, and what waits for one says so.

use std::time::Duration;

use hearth_api::v1::{FailureReason, NodeState, WorkspaceState, event::Kind};

use crate::support::{
    agent::FakeAgent,
    plane::{Plane, shop},
    soon,
};

const LEASE: &[&str] = &["--node-lease-seconds=5"];

async fn states(plane: &Plane) -> Vec<NodeState> {
    let nodes = plane.list_nodes().await.into_iter();
    nodes.map(|node| node.state()).collect()
}

#[tokio::test]
async fn a_node_is_expected_until_it_is_heard_of() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), LEASE).await;
    let agent = FakeAgent::join(&plane, "n1").await;
    assert_eq!(states(&plane).await, [NodeState::Online]);
    plane.stop().await;
    let plane = Plane::start(directory.path(), LEASE).await;
    assert_eq!(states(&plane).await, [NodeState::Expected]);
    // They are counted first a moment after the start.
    let counted = async {
        let expected = "hearth_nodes{state=\"EXPECTED\"} 1\n";
        while !plane.admin("/metrics").await.contains(expected) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the number of expected nodes", counted).await;
    assert!(agent.heartbeat(&plane).await);
    assert_eq!(states(&plane).await, [NodeState::Online]);
    plane.stop().await;
}

#[tokio::test]
async fn an_attempt_whose_only_node_is_gone_says_what_it_waits_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), LEASE).await;
    let mut agent = FakeAgent::join(&plane, "n1").await;
    agent.crash();
    plane.stop().await;
    let plane = Plane::start(directory.path(), LEASE).await;
    let mut follower = plane.prepare(shop()).await;
    let id = follower.id().to_owned();
    let is_told = |kind: &Kind| matches!(kind, Kind::Warning(warning) if warning.message.contains("no other node"));
    let told = follower.until(is_told).await.pop().expect("an event");
    let Some(Kind::Warning(warning)) = told.kind else {
        panic!("it is a warning");
    };
    assert!(
        warning.message.starts_with("n1 does not begin the attempt"),
        "{}",
        warning.message
    );
    // Once, and then the end.
    let rest = follower.rest().await;
    let again = |event: &hearth_api::v1::Event| event.kind.as_ref().is_some_and(is_told);
    assert!(!rest.iter().any(again), "{rest:#?}");
    let workspace = plane.get(&id).await.expect("it");
    assert_eq!(workspace.state(), WorkspaceState::Failed);
    let failure = workspace.failure.expect("a failure");
    assert_eq!(failure.reason(), FailureReason::NodeLost);
    assert_eq!(states(&plane).await, [NodeState::Lost]);
    plane.stop().await;
}
