//! An image whose entry is not signed as its node expects is not used, and costs no workspace.

use hearth_api::v1::{CacheResult, PushOutcome, WorkspaceState};
use hearth_tests::client::Story;

use crate::fleet::{Fleet, Stop, repository};

/// Keys of P-256 that nobody has the private keys of any more (`openssl ecparam -name prime256v1 -genkey`).
const OTHER_KEY: &str = include_str!("signed/other-key.pem");

async fn prepare(fleet: &Fleet, node: &str) -> Story {
    let mut stories = fleet.prepare([(node, &*repository(1))]).stories().await;
    stories.remove(0)
}

fn reasons(story: &Story) -> String {
    story.cache().reasons.join(" ")
}

#[tokio::test]
async fn a_node_with_another_key_builds_and_says_why_and_the_others_still_fetch() {
    let mut fleet = Fleet::new(2, &[]).await;
    let file = fleet.folder().join("other.pub");
    std::fs::write(&file, OTHER_KEY).expect("a write");
    let flag = format!("--cache-public-key={}", file.display());
    fleet.add_node("node-3", &[&flag]).await;
    assert_eq!(prepare(&fleet, "node-1").await.result(), CacheResult::Miss);

    let refused = prepare(&fleet, "node-3").await;
    assert_eq!(refused.workspace.state(), WorkspaceState::Ready);
    assert_ne!(refused.result(), CacheResult::Exact, "{refused:#?}");
    let why = reasons(&refused);
    assert!(
        why.contains("the signature of its entry is not the control plane's"),
        "{why}"
    );
    // The control plane knows the entry as its own: what this node builds does not take its place.
    assert_eq!(refused.push(), PushOutcome::Unchanged);
    // Not even the image that was fetched on a bet is left.
    let left = fleet.node("node-3").engine.by_digest();
    assert_eq!(left, Vec::<String>::new());

    let fetched = prepare(&fleet, "node-2").await;
    assert_eq!(fetched.result(), CacheResult::Exact, "{fetched:#?}");
}

#[tokio::test]
async fn a_node_that_knows_the_earlier_key_alone_uses_what_that_has_signed() {
    let earlier = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&earlier, OTHER_KEY).expect("a write");
    let flag = format!("--earlier-public-keys={}", earlier.path().display());
    let mut fleet = Fleet::new(1, &["--node-lease-seconds=3", &flag]).await;
    assert_eq!(prepare(&fleet, "node-1").await.result(), CacheResult::Miss);
    let key = fleet.folder().join("signing.pem");
    let public = fleet.folder().join("signing.pem.pub");
    std::fs::copy(&public, earlier.path()).expect("a copy");
    let pinned = format!("--cache-public-key={}", earlier.path().display());
    fleet.add_node("node-2", &[&pinned]).await;

    std::fs::remove_file(key).expect("the key's file");
    fleet.restart_control_plane(Stop::Orderly).await;
    fleet.until_heard("node-2").await;
    let fetched = prepare(&fleet, "node-2").await;
    assert_eq!(fetched.result(), CacheResult::Exact, "{fetched:#?}");
}

#[tokio::test]
async fn agents_follow_a_control_plane_that_comes_back_with_another_key() {
    let mut fleet = Fleet::new(2, &["--node-lease-seconds=3"]).await;
    assert_eq!(prepare(&fleet, "node-1").await.result(), CacheResult::Miss);
    std::fs::remove_file(fleet.folder().join("signing.pem")).expect("the key's file");
    fleet.restart_control_plane(Stop::Orderly).await;
    fleet.until_heard("node-2").await;
    let fetched = prepare(&fleet, "node-2").await;
    assert_eq!(fetched.result(), CacheResult::Exact, "{fetched:#?}");
}
