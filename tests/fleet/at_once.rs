//! Nodes that are asked for the same repository at once wait for an image that another one builds, and for nothing else.

use hearth_api::v1::{CacheResult, PipelineStep, PushOutcome, WorkspaceState, event::Kind};

use crate::{
    fleet::{Fleet, image_only, with_hook},
    once::{assert_ready, names, results},
};

fn has_container(kind: &Kind) -> bool {
    matches!(kind, Kind::Container(_))
}

fn asks_or_waits(kind: &Kind) -> bool {
    match kind {
        Kind::StepStarted(step) => step.step() == PipelineStep::Resolve,
        kind => matches!(kind, Kind::Waiting(_)),
    }
}

/// Asks for a repository whose hooks are held up on `count` nodes; returns what came of it once all of them had their
/// container in spite of that.
async fn all_have_containers(
    count: usize,
    repository: &str,
) -> (Fleet, Vec<hearth_tests::client::Story>) {
    let fleet = Fleet::new(count, &[]).await;
    fleet.builds.hold_hooks();
    let names = &names()[..count];
    let mut preparations = fleet.prepare(names.iter().map(|name| (name.as_str(), repository)));
    preparations.until(count, has_container).await;
    assert_eq!(fleet.builds.hooks(), Vec::<String>::new());
    fleet.builds.let_hooks_go();
    let stories = preparations.stories().await;
    assert_ready(&stories);
    assert_eq!(fleet.builds.hooks().len(), count);
    (fleet, stories)
}

#[tokio::test]
async fn nodes_that_build_nothing_do_not_wait_for_each_other() {
    for count in [2, 5] {
        let (fleet, stories) = all_have_containers(count, &image_only(1)).await;
        assert_eq!(fleet.builds.begun(), []);
        for story in &stories {
            assert_eq!(story.position(asks_or_waits), None, "{:#?}", story.events);
            assert_eq!(story.push(), PushOutcome::SkippedNotEligible);
        }
    }
}

#[tokio::test]
async fn nodes_that_wait_for_an_image_do_not_wait_for_the_hooks_of_its_builder() {
    for count in [2, 5] {
        let (fleet, stories) = all_have_containers(count, &with_hook(1)).await;
        assert_eq!(fleet.builds.begun().len(), 1);
        let results = results(&stories);
        assert_eq!(results[&CacheResult::Exact], count - 1, "{results:?}");
        assert!(
            stories
                .iter()
                .all(|story| story.workspace.state() == WorkspaceState::Ready)
        );
    }
}
