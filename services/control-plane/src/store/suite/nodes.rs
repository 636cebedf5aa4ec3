//! Nodes, their sessions, and what is placed on them.

use super::*;

pub(in crate::store) async fn a_node_is_known_by_what_it_said_last(store: Arc<dyn Store>) {
    let mut node = StoredNode {
        name: "n1".into(),
        platform: "linux/amd64".parse().expect("a platform"),
        info: NodeInfo {
            boot_id: "b1".into(),
            platform: "linux/amd64".into(),
            ..NodeInfo::default()
        },
        heartbeat: from_millis(1_234),
        has_left: false,
    };
    store.put_node(&node).await.expect("a write");
    node.info.boot_id = "b2".into();
    node.heartbeat = from_millis(5_678);
    store.put_node(&node).await.expect("a write");
    node.info.disk_free_bytes = 7;
    node.heartbeat = from_millis(9_012);
    store.touch_node(&node).await.expect("a write");
    assert_eq!(store.nodes().await.expect("a read"), [node.clone()]);
    // A heartbeat does not undo what was said by others.
    store.node_left("n1").await.expect("a write");
    store.touch_node(&node).await.expect("a write");
    assert!(store.nodes().await.expect("a read")[0].has_left);
    store.put_node(&node).await.expect("a write");
    assert_eq!(store.nodes().await.expect("a read"), [node]);
}

pub(in crate::store) async fn a_node_is_removed_with_its_session_when_it_is_empty_or_by_force(
    store: Arc<dyn Store>,
) {
    let node = StoredNode {
        name: "n1".into(),
        platform: "linux/amd64".parse().expect("a platform"),
        info: NodeInfo {
            platform: "linux/amd64".into(),
            ..NodeInfo::default()
        },
        heartbeat: from_millis(1),
        has_left: false,
    };
    store.put_node(&node).await.expect("a write");
    store.put_session("n1", "digest").await.expect("a write");
    create(&*store, "a").await;
    let kept = store.remove_node("n1", false).await.expect("an answer");
    assert_eq!(kept, 1);
    assert_eq!(store.nodes().await.expect("a read").len(), 1);
    let removed = store.remove_node("n1", true).await.expect("an answer");
    assert_eq!(removed, 1);
    store.touch_node(&node).await.expect("a late heartbeat");
    assert_eq!(store.nodes().await.expect("a read"), []);
    assert_eq!(store.sessions().await.expect("a read"), []);
}

pub(in crate::store) async fn a_workspace_is_placed_by_what_the_nodes_have_to_do_at_that_moment(
    store: Arc<dyn Store>,
) {
    let nowhere = store.create(asked_for("x"), None, &|_| None).await;
    assert!(matches!(nowhere, Err(StoreError::NoNode)));
    assert_eq!(store.workspace(&id("x")).await.expect("a read"), None);
    let least = |loads: &[Load]| {
        let of = |node: &str| {
            let load = loads.iter().find(|load| load.node == node);
            load.map_or(0, |load| load.unsettled)
        };
        ["n1", "n2", "n3"]
            .into_iter()
            .min_by_key(|node| of(node))
            .map(str::to_owned)
    };
    let names = ["a", "b", "c", "d", "e", "f"];
    let all = names.map(|name| store.create(asked_for(name), None, &least));
    let mut nodes: Vec<_> = futures_util::future::join_all(all)
        .await
        .into_iter()
        .map(|created| match created {
            Ok(Once::New(change)) => change.record.workspace.node,
            other => panic!("{other:?}"),
        })
        .collect();
    nodes.sort();
    assert_eq!(nodes, ["n1", "n1", "n2", "n2", "n3", "n3"]);

    let moved = store
        .move_on(
            &attempt("a", 1),
            "it is away",
            &|_| Some("n9".into()),
            now(),
        )
        .await
        .expect("a change")
        .expect("a node");
    assert_eq!(
        (moved.record.workspace.node.as_str(), moved.entries.len()),
        ("n9", 1)
    );
    let of_n9 = store.counts().await.expect("a read");
    assert!(of_n9.iter().any(|count| count.node == "n9"), "{of_n9:?}");
    store
        .end(&attempt("a", 1), &Ending::NodeLost, now())
        .await
        .expect("an end");
    let late = store
        .move_on(
            &attempt("a", 1),
            "it is away",
            &|_| Some("n1".into()),
            now(),
        )
        .await;
    assert_eq!(late.expect("an answer"), None);
}

pub(in crate::store) async fn the_newest_session_of_a_node_replaces_the_one_before(
    store: Arc<dyn Store>,
) {
    for (node, digest) in [("n1", "old"), ("n2", "other"), ("n1", "new")] {
        store.put_session(node, digest).await.expect("a write");
    }
    let kept = store.sessions().await.expect("a read");
    let pair = |node: &str, digest: &str| (node.to_owned(), digest.to_owned());
    assert_eq!(kept, [pair("n1", "new"), pair("n2", "other")]);
}
