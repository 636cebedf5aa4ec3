//! Agent, engine and control plane are killed at the beginning of each step. ARCHITECTURE has the results as a table.

use futures_util::future::join_all;
use hearth_api::v1::{FailureReason, PipelineStep, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, Repo, app,
    client::{Client, Story, request},
    footprint,
};

const STEPS: [PipelineStep; 7] = [
    PipelineStep::Validate,
    PipelineStep::Clone,
    PipelineStep::Key,
    PipelineStep::Resolve,
    PipelineStep::Image,
    PipelineStep::Container,
    PipelineStep::Push,
];

/// A repository whose steps take long enough to be interrupted.
fn repo(lab: &Lab, name: &str) -> Repo {
    let dockerfile = format!("FROM BASE\nRUN sleep 1 && echo {name} > /opt/name\n");
    let hook = r#", "onCreateCommand": "sleep 1""#;
    app::with_dockerfile(lab, name, &dockerfile, hook)
}

/// Begins a workspace of a repository of its own, up to the beginning of a step.
async fn begin(lab: &Lab, step: PipelineStep) -> String {
    let name = step.as_str_name().to_lowercase();
    let repo = repo(lab, &name);
    let begins = |kind: &Kind| matches!(kind, Kind::StepStarted(begun) if begun.step() == step);
    let (id, _) = lab
        .client
        .begin_until(request("node-1", &repo.url), begins)
        .await;
    id
}

fn was_usable(story: &Story) -> bool {
    story.states().contains(&WorkspaceState::Ready)
}

/// The attempt failed for this reason, or its workspace was ready before and stays so.
fn assert_failed_or_kept(story: &Story, step: PipelineStep, reason: FailureReason) {
    story.assert_whole();
    if was_usable(story) {
        return;
    }
    story.assert_state(WorkspaceState::Failed);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), reason, "{step:?}: {failure:?}");
}

/// Each is prepared again, all at the same time, and after their deletion nothing is left.
async fn retry_and_delete(lab: &Lab, ids: &[String]) {
    let retries = ids.iter().map(|id| lab.client.prepare_anew(id));
    for retry in join_all(retries).await {
        retry.assert_state(WorkspaceState::Ready);
        assert_eq!(retry.workspace.attempt, 2);
    }
    delete(lab, ids).await;
}

async fn delete(lab: &Lab, ids: &[String]) {
    join_all(ids.iter().map(|id| lab.client.delete(id))).await;
    footprint::assert_none(lab, 0).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_in_any_step() {
    let mut lab = Lab::new(1).await;
    let mut ids = Vec::new();
    for step in STEPS {
        let id = begin(&lab, step).await;
        lab.agents[0].kill();
        lab.agents[0].restart();
        let story = lab.client.watch(&id, 0).await;
        assert_failed_or_kept(&story, step, FailureReason::AgentRestarted);
        ids.push(id);
    }
    retry_and_delete(&lab, &ids).await;
}

#[tokio::test]
async fn an_engine_that_is_killed_in_any_step() {
    let lab = Lab::new(1).await;
    let mut ids = Vec::new();
    for step in STEPS {
        let id = begin(&lab, step).await;
        lab.vms[0].kill();
        let story = lab.client.watch(&id, 0).await;
        assert_failed_or_kept(&story, step, FailureReason::EngineFailed);
        lab.vms[0].restart();
        lab.until_online("node-1").await;
        ids.push(id);
    }
    retry_and_delete(&lab, &ids).await;
}

/// The attempts of earlier steps go on meanwhile, and are followed again after each of the later kills too.
#[tokio::test]
async fn a_control_plane_that_is_killed_in_any_step() {
    let mut lab = Lab::new(1).await;
    let mut ids = Vec::new();
    for step in STEPS {
        ids.push(begin(&lab, step).await);
        lab.control_plane.kill();
        lab.control_plane.restart();
        // The connection of the client before is broken.
        lab.client = Client::new(&lab.control_plane.url());
    }
    let stories = join_all(ids.iter().map(|id| lab.client.watch(id, 0))).await;
    for (story, step) in stories.iter().zip(STEPS) {
        story.assert_whole();
        story.assert_state(WorkspaceState::Ready);
        assert_eq!(story.workspace.attempt, 1, "{step:?}");
    }
    delete(&lab, &ids).await;
}
