//! Clients, and what is left of them.

use hearth_domain::Name;

use super::*;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn client(text: &str) -> StoredClient {
    StoredClient {
        name: name(text),
        scopes: "prepare".parse().expect("scopes"),
        repositories: "github.com/acme/*,git.example/x".parse().expect("patterns"),
        digest: format!("digest of {text}"),
        created: from_millis(1_234),
        expires: None,
        last_used: None,
    }
}

pub(in crate::store) async fn a_client_reads_back_with_its_last_use_until_it_is_revoked(
    store: Arc<dyn Store>,
) {
    let (ci, robot) = (client("ci"), client("robot"));
    let robot = StoredClient {
        scopes: "read,exec".parse().expect("scopes"),
        repositories: "".parse().expect("patterns"),
        expires: Some(from_millis(9_000)),
        ..robot
    };
    let first = store.add_client(&ci).await.expect("a write");
    let second = store.add_client(&robot).await.expect("a write");
    let (first, second) = first.zip(second).expect("two numbers");
    assert!(first < second);
    let read = store.clients().await.expect("a read");
    assert_eq!(read, [(first, ci.clone()), (second, robot)]);

    let used = store.client_used(&name("robot"), from_millis(5_000)).await;
    used.expect("a write");
    let read = store.clients().await.expect("a read");
    assert_eq!(read[1].1.last_used, Some(from_millis(5_000)));

    for (expected, of) in [(true, "robot"), (false, "robot"), (false, "nobody")] {
        let revoked = store.revoke_client(&name(of), now()).await;
        assert_eq!(revoked.expect("an answer"), expected, "{of}");
    }
    assert_eq!(store.clients().await.expect("a read"), [(first, ci)]);
}

pub(in crate::store) async fn the_name_of_a_client_is_given_once(store: Arc<dyn Store>) {
    for (expected, again) in [(true, "ci"), (false, "ci"), (true, "other")] {
        let added = store.add_client(&client(again)).await.expect("an answer");
        assert_eq!(added.is_some(), expected, "{again}");
    }
    let revoked = store.revoke_client(&name("ci"), now()).await;
    assert!(revoked.expect("an answer"));
    let added = store.add_client(&client("ci")).await.expect("an answer");
    assert_eq!(added, None, "certificates with the name may still be about");
}
