//! A workspace is placed on a node that can take it.

use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    agent::FakeAgent,
    plane::{Plane, shop},
    refusals::{fields, reason},
    start::with_agent,
};

#[tokio::test]
async fn without_a_node_a_call_is_worth_repeating_later() {
    let plane = Plane::fresh(&[]).await;
    let status = plane.try_prepare(shop()).await.err().expect("a refusal");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "NODE_UNAVAILABLE");
    let details = status.get_error_details();
    assert!(
        details
            .retry_info()
            .is_some_and(|retry| retry.retry_delay.is_some())
    );
}

#[tokio::test]
async fn an_unknown_node_is_a_missing_thing_and_a_wrong_field() {
    let (plane, _agent) = with_agent(&[]).await;
    let mut request = shop();
    request.node = "n7".into();
    let status = plane.try_prepare(request).await.err().expect("a refusal");
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(reason(&status), "NODE_UNKNOWN");
    assert_eq!(fields(&status)[0], "node");
}

#[tokio::test]
async fn the_node_with_the_least_to_do_is_chosen_and_names_break_ties() {
    let plane = Plane::fresh(&[]).await;
    let _n2 = FakeAgent::join(&plane, "n2").await;
    let _n1 = FakeAgent::join(&plane, "n1").await;
    let mut nodes = Vec::new();
    for wanted in ["", "n1", "", "", ""] {
        let mut request = shop();
        request.node = wanted.into();
        nodes.push(plane.prepare(request).await.snapshot.node);
    }
    assert_eq!(nodes, ["n1", "n1", "n2", "n2", "n1"]);
    let list = plane.list_nodes().await;
    let loads: Vec<_> = list
        .iter()
        .map(|node| (node.name.as_str(), node.workspaces))
        .collect();
    assert_eq!(loads, [("n1", 3), ("n2", 2)]);
}
