//! A workspace is placed on a node that can take it.

use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    agent::FakeAgent,
    events::{preparing, ready, settled},
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
async fn the_node_with_the_least_to_do_is_chosen_and_what_has_settled_is_nothing_to_do() {
    let plane = Plane::fresh(&[]).await;
    let _n2 = FakeAgent::join(&plane, "n2").await;
    let n1 = FakeAgent::join(&plane, "n1").await;
    let on = async |wanted: &str| {
        let mut request = shop();
        request.node = wanted.into();
        plane.prepare(request).await
    };
    let mut settling = Vec::new();
    for _ in 0..3 {
        let follower = on("n1").await;
        n1.started(follower.id(), 1).await;
        settling.push(follower);
    }
    assert_eq!(on("").await.snapshot.node, "n2");
    assert_eq!(on("").await.snapshot.node, "n2");
    for follower in settling {
        n1.say(follower.id(), 1, [preparing(), ready(), settled()]);
        follower.rest().await;
    }
    assert_eq!(on("").await.snapshot.node, "n1", "two attempts go on on n2");
    let list = plane.list_nodes().await;
    let loads: Vec<_> = list
        .iter()
        .map(|node| (node.name.as_str(), node.workspaces))
        .collect();
    assert_eq!(loads, [("n1", 4), ("n2", 2)]);
}

#[tokio::test]
async fn five_hundred_that_are_asked_for_at_once_spread_evenly_over_ten_nodes() {
    let plane = Plane::fresh(&[]).await;
    let mut agents = Vec::new();
    for number in 0..10 {
        agents.push(FakeAgent::join(&plane, &format!("n{number}")).await);
    }
    let client = plane.workspaces().await;
    let all = (0..500).map(|_| {
        let mut client = client.clone();
        async move { client.prepare_workspace(shop()).await.expect("a workspace") }
    });
    let _streams = futures_util::future::join_all(all).await;
    let loads = plane.list_nodes().await.into_iter();
    let loads: Vec<_> = loads.map(|node| node.workspaces).collect();
    assert_eq!(loads, [50; 10]);
}
