//! What many nodes need is built once.

use std::collections::BTreeMap;

use hearth_api::v1::{CacheResult, FailureReason, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{client::Story, images::Image};

use crate::fleet::{Fleet, Stop, repository};

pub const NODES: usize = 20;

fn waits(kind: &Kind) -> bool {
    matches!(kind, Kind::Waiting(_))
}

pub fn names() -> Vec<String> {
    (1..=NODES).map(|number| format!("node-{number}")).collect()
}

/// How many stories came to each result.
pub fn results(stories: &[Story]) -> BTreeMap<CacheResult, usize> {
    let mut results = BTreeMap::new();
    for story in stories {
        *results.entry(story.result()).or_default() += 1;
    }
    results
}

pub fn assert_ready<'a>(stories: impl IntoIterator<Item = &'a Story>) {
    for story in stories {
        let workspace = &story.workspace;
        assert_eq!(workspace.state(), WorkspaceState::Ready, "{workspace:#?}");
    }
}

/// Every node asks for a repository that is not built yet; one builds and is held up, all others wait for it.
async fn one_builds_and_all_others_wait(
    fleet: &Fleet,
    repository: &str,
) -> crate::fleet::Preparations {
    fleet.builds.hold();
    let names = names();
    let wishes = names.iter().map(|name| (name.as_str(), repository));
    let mut preparations = fleet.prepare(wishes);
    preparations.until(NODES - 1, waits).await;
    assert_eq!(fleet.builds.until_begun(1).await.len(), 1);
    preparations
}

#[tokio::test]
async fn a_key_that_twenty_nodes_need_at_once_is_built_once_and_fetched_by_the_others() {
    let fleet = Fleet::new(NODES, &[]).await;
    let preparations = one_builds_and_all_others_wait(&fleet, &repository(1)).await;
    fleet.builds.let_go();
    let stories = preparations.stories().await;
    assert_ready(&stories);
    assert_eq!(fleet.builds.begun().len(), 1, "{:?}", fleet.builds.begun());
    let expected = [(CacheResult::Exact, NODES - 1), (CacheResult::Miss, 1)];
    assert_eq!(results(&stories), BTreeMap::from(expected));
    for story in &stories {
        let hit = story.result() == CacheResult::Exact;
        assert_eq!(story.kinds().any(waits), hit, "the builder does not wait");
        let push = if hit {
            PushOutcome::Unchanged
        } else {
            PushOutcome::Pushed
        };
        assert_eq!(story.push(), push, "{:#?}", story.workspace.push);
    }
    let digests: Vec<_> = stories.iter().map(|s| s.cache().image_digest).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    let pulls: usize = fleet.nodes.iter().map(|node| node.engine.pulls()).sum();
    assert_eq!(pulls, NODES - 1);
}

#[tokio::test]
async fn when_the_builder_dies_half_way_one_more_node_builds_and_all_others_fetch() {
    let mut fleet = Fleet::new(NODES, &["--node-lease-seconds=6"]).await;
    let preparations = one_builds_and_all_others_wait(&fleet, &repository(1)).await;
    let first = fleet.builds.begun().remove(0).node;
    fleet.node(&first).kill();
    // The next in the queue begins while builds are still held up.
    let builds = fleet.builds.until_begun(2).await;
    assert_ne!(builds[1].node, first);
    fleet.builds.let_go();

    let (lost, others): (Vec<_>, Vec<_>) = preparations
        .stories()
        .await
        .into_iter()
        .partition(|story| story.workspace.node == first);
    let failure = lost[0].workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::NodeLost, "{failure:?}");
    assert_ready(&others);
    assert_eq!(fleet.builds.begun().len(), 2, "{:?}", fleet.builds.begun());
    let expected = [(CacheResult::Exact, NODES - 2), (CacheResult::Miss, 1)];
    assert_eq!(results(&others), BTreeMap::from(expected));
}

/// Leases are in memory only. The waiting agents ask again; one of them gets to build, and the others wait for it.
#[tokio::test]
async fn a_wait_outlives_the_control_plane_at_the_price_of_one_more_build() {
    for (number, how) in [(1, Stop::Orderly), (2, Stop::Killed)] {
        let mut fleet = Fleet::new(NODES, &[]).await;
        let mut preparations = one_builds_and_all_others_wait(&fleet, &repository(number)).await;
        fleet.restart_control_plane(how).await;
        preparations.until(NODES - 2, waits).await;
        assert_eq!(fleet.builds.until_begun(2).await.len(), 2);
        fleet.builds.let_go();

        let stories = preparations.stories().await;
        assert_ready(&stories);
        assert_eq!(fleet.builds.begun().len(), 2, "{how:?}");
        let expected = [(CacheResult::Exact, NODES - 2), (CacheResult::Miss, 2)];
        assert_eq!(results(&stories), BTreeMap::from(expected), "{how:?}");
        // A wait that was resumed is reported once, with the time of both parts.
        for story in &stories {
            let reasons = story.cache().reasons;
            let waited = reasons.iter().filter(|r| r.starts_with("waited")).count();
            assert_eq!(waited, usize::from(story.kinds().any(waits)), "{reasons:?}");
        }
    }
}

#[tokio::test]
async fn two_hundred_workspaces_of_twenty_repositories_are_twenty_builds() {
    let fleet = Fleet::new(NODES, &[]).await;
    let names = names();
    let repositories: Vec<_> = (1..=20).map(repository).collect();
    // Each repository on ten nodes, and each node with ten repositories.
    let wishes = (0..200).map(|n| (names[(n + n / 20) % NODES].as_str(), &*repositories[n % 20]));
    let stories = fleet.prepare(wishes).stories().await;
    assert_ready(&stories);
    let expected = [(CacheResult::Exact, 180), (CacheResult::Miss, 20)];
    assert_eq!(results(&stories), BTreeMap::from(expected));
    assert_eq!(fleet.builds.begun().len(), 20, "one for each repository");
}

#[tokio::test]
async fn a_tag_that_was_moved_under_a_push_enters_nothing_and_is_removed() {
    let fleet = Fleet::new(1, &[]).await;
    let other = Image::new("another image", 1, &[]);
    fleet.nodes[0].engine.move_next_tag(other.clone());
    let repository = repository(1);
    let prepare = || {
        fleet
            .prepare([("node-1", repository.as_str())].into_iter())
            .stories()
    };
    let first = prepare().await.remove(0);
    assert_ready([&first]);
    assert_eq!(first.push(), PushOutcome::Failed);
    let message = first.workspace.push.as_ref().unwrap().message.clone();
    assert!(
        message.contains("another image under this key"),
        "{message}"
    );
    assert!(!fleet.registry.has(&other), "it is still there");
    let second = prepare().await.remove(0);
    assert_ne!(second.result(), CacheResult::Exact);
    assert_eq!(second.push(), PushOutcome::Pushed);
}
