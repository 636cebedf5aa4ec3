//! Tokens with which nodes join, and whose their names are.

use super::*;

fn token(id: &str, uses_left: Option<u32>, expires: i64) -> StoredJoinToken {
    StoredJoinToken {
        id: id.into(),
        expires: from_millis(expires),
        uses_left,
        nodes: "build-*".into(),
        description: "for tests".into(),
        created: from_millis(1),
        used: None,
    }
}

fn node<'a>(node: &'a str, key: &'a str) -> Joining<'a> {
    Joining { node, key }
}

pub(in crate::store) async fn a_token_is_used_as_often_as_it_may_be(store: Arc<dyn Store>) {
    let once = token("once", Some(1), 2);
    let often = token("often", None, 3);
    let kept = from_millis(0);
    store
        .put_join_token(&once, "1", kept)
        .await
        .expect("a write");
    store
        .put_join_token(&often, "2", kept)
        .await
        .expect("a write");
    assert_eq!(
        store.join_tokens().await.expect("a read"),
        [often, once.clone()]
    );
    assert_eq!(store.join_token("1").await.expect("a read"), Some(once));
    assert_eq!(store.join_token("3").await.expect("a read"), None);
    let join = async |token: &str, who: Joining<'_>| {
        let joined = store.join(token, who, from_millis(7)).await;
        joined.expect("a write")
    };
    assert!(join("once", node("n1", "k1")).await);
    // The same again, after an answer that did not arrive; nobody else.
    assert!(join("once", node("n1", "k1")).await);
    for other in [node("n1", "k2"), node("n2", "k1")] {
        assert!(!join("once", other).await, "{other:?}");
    }
    assert_eq!(
        store.node_key("n1").await.expect("a read"),
        Some(NodeKey::Of("k1".to_owned()))
    );
    let used = store
        .join_token("1")
        .await
        .expect("a read")
        .expect("a token");
    assert_eq!((used.uses_left, used.used), (Some(0), Some(from_millis(7))));
    for name in ["n1", "n2", "n3"] {
        assert!(join("often", node(name, "k2")).await);
    }
    // One that was removed needs another token.
    store.remove_node("n1", true).await.expect("an answer");
    assert!(!join("once", node("n1", "k1")).await);
    assert!(!join("none", node("n4", "k1")).await);
    assert_eq!(store.node_key("n4").await.expect("a read"), None);
}

pub(in crate::store) async fn of_two_nodes_with_one_use_one_joins(store: Arc<dyn Store>) {
    let once = token("once", Some(1), 2);
    store
        .put_join_token(&once, "1", from_millis(0))
        .await
        .expect("a write");
    let names: Vec<String> = (0..16).map(|number| format!("n{number}")).collect();
    let all = names
        .iter()
        .map(|name| store.join("once", node(name, "k"), now()));
    let joined = futures_util::future::join_all(all).await;
    let joined = joined
        .into_iter()
        .filter(|joined| matches!(joined, Ok(true)));
    assert_eq!(joined.count(), 1);
}

pub(in crate::store) async fn tokens_and_names_end(store: Arc<dyn Store>) {
    let kept = from_millis(0);
    for id in ["a", "b"] {
        let token = token(id, Some(1), 10);
        store
            .put_join_token(&token, id, kept)
            .await
            .expect("a write");
    }
    assert!(store.delete_join_token("a").await.expect("a write"));
    assert!(!store.delete_join_token("a").await.expect("a write"));
    assert!(
        !store
            .join("a", node("n1", "k"), now())
            .await
            .expect("a write")
    );
    // One that expired long ago goes when another comes.
    let newer = token("c", Some(1), 30);
    store
        .put_join_token(&newer, "c", from_millis(20))
        .await
        .expect("a write");
    assert_eq!(store.join_tokens().await.expect("a read"), [newer]);
    store.put_node_key(node("n1", "k1")).await.expect("a write");
    store.put_node_key(node("n1", "k2")).await.expect("a write");
    assert_eq!(
        store.node_key("n1").await.expect("a read"),
        Some(NodeKey::Of("k2".to_owned()))
    );
    store.remove_node("n1", true).await.expect("an answer");
    let key = store.node_key("n1").await.expect("a read");
    assert_eq!(key, Some(NodeKey::Removed));
    store.put_node_key(node("n1", "k2")).await.expect("a write");
    let key = store.node_key("n1").await.expect("a read");
    assert_eq!(key, Some(NodeKey::Of("k2".to_owned())));
}
