//! A client, a control plane or an agent that dies in the middle loses nothing that matters.

use hearth_api::v1::{BuildStepStatus, FailureReason, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, Repo, app,
    client::{Story, request},
};

const SLOW: &str =
    "FROM BASE\nRUN echo before > /x\nRUN echo now building && sleep 5\nRUN echo after > /y\n";

/// Whether the slow step is being built now.
fn begins_the_slow_step(kind: &Kind) -> bool {
    matches!(kind, Kind::BuildStep(step)
        if step.name.contains("sleep") && step.status() == BuildStepStatus::Started)
}

/// Begins a preparation and returns its workspace and the last sequence seen once the slow step is being built.
async fn begin_and_wait_for_the_slow_step(lab: &Lab, url: &str) -> (String, u64) {
    let request = request("node-1", url);
    lab.client.begin_until(request, begins_the_slow_step).await
}

/// Commits a Dockerfile without the slow step and prepares the workspace anew.
async fn prepare_anew_without_the_slow_step(lab: &Lab, repo: &Repo, id: &str) -> Story {
    let quick = SLOW
        .replace("sleep 5", "sleep 0")
        .replace("BASE", &lab.base);
    repo.commit(&[(".devcontainer/Dockerfile", &quick)]);
    let story = lab.client.prepare_anew(id).await;
    story.assert_state(WorkspaceState::Ready);
    story
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_nothing_and_another_goes_on_where_it_was() {
    let lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", SLOW, "");
    let (id, seen) = begin_and_wait_for_the_slow_step(&lab, &repo.url).await;
    let rest = lab.client.watch(&id, seen).await;
    assert_eq!(rest.events[0].sequence, seen + 1);
    rest.assert_state(WorkspaceState::Ready);
    let whole = lab.client.watch(&id, 0).await;
    whole.assert_whole();
    assert_eq!(whole.events[0].sequence, 1);
}

#[tokio::test]
async fn a_control_plane_that_is_killed_in_a_build_comes_back_and_misses_nothing() {
    let mut lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", SLOW, "");
    let (id, seen) = begin_and_wait_for_the_slow_step(&lab, &repo.url).await;
    lab.control_plane.kill();
    // It stays away while the build goes on.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    lab.control_plane.restart();
    let rest = lab.client.watch(&id, seen).await;
    rest.assert_state(WorkspaceState::Ready);
    assert_eq!(rest.workspace.attempt, 1);
    rest.assert_push(PushOutcome::Pushed);
    let whole = lab.client.watch(&id, 0).await;
    whole.assert_whole();
    let of_slow_step = |status: BuildStepStatus| {
        whole
            .kinds()
            .filter(|kind| matches!(kind, Kind::BuildStep(s) if s.name.contains("sleep") && s.status() == status))
            .count()
    };
    assert_eq!(
        (
            of_slow_step(BuildStepStatus::Started),
            of_slow_step(BuildStepStatus::Done)
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn an_agent_that_is_killed_in_a_build_leaves_nothing_and_the_next_attempt_succeeds() {
    let mut lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", &SLOW.replace("sleep 5", "sleep 600"), "");
    let (id, _) = begin_and_wait_for_the_slow_step(&lab, &repo.url).await;
    let attempts = lab.agents[0].attempts_dir();
    assert!(commands_of(&attempts));
    lab.agents[0].kill();
    // What the agent had started dies with it, at once.
    hearth_tests::process::eventually("the agent's commands are gone", || !commands_of(&attempts))
        .await;
    lab.agents[0].restart();
    let story = lab.client.watch(&id, 0).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Failed);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(
        failure.reason(),
        FailureReason::AgentRestarted,
        "{failure:?}"
    );
    lab.assert_nothing_left(1).await;
    hearth_tests::process::eventually("no folder of an attempt is left", || {
        std::fs::read_dir(&attempts).unwrap().count() == 0
    })
    .await;

    let story = prepare_anew_without_the_slow_step(&lab, &repo, &id).await;
    assert_eq!(
        (story.workspace.id.as_str(), story.workspace.attempt),
        (id.as_str(), 2)
    );
}

/// Whether any process of a devcontainer CLI works for these attempts.
fn commands_of(attempts: &std::path::Path) -> bool {
    let wanted = format!("DOCKER_HOST=unix://{}/", attempts.display());
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let own = entry.file_name().to_string_lossy() == std::process::id().to_string();
        !own && environment
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(wanted.as_bytes()))
    })
}

#[tokio::test]
async fn a_ready_workspace_outlives_its_agent_and_its_interrupted_push_is_told() {
    let mut lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let is_ready =
        |kind: &Kind| matches!(kind, Kind::StateChanged(c) if c.state() == WorkspaceState::Ready);
    let request = request("node-1", &repo.url);
    let (id, _) = lab.client.begin_until(request, is_ready).await;
    lab.agents[0].kill();
    lab.agents[0].restart();
    let story = lab.client.watch(&id, 0).await;
    story.assert_state(WorkspaceState::Ready);
    let outcome = story.push();
    assert!(
        matches!(outcome, PushOutcome::Interrupted | PushOutcome::Pushed),
        "the push has an outcome: {outcome:?}"
    );
    let container = &story.workspace.container_id;
    assert_eq!(lab.vms[0].cat(container, "/opt/built"), "first");
}

#[tokio::test]
async fn a_retry_replaces_work_and_never_doubles_it() {
    let lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", &SLOW.replace("sleep 5", "sleep 600"), "");
    let (id, _) = begin_and_wait_for_the_slow_step(&lab, &repo.url).await;
    prepare_anew_without_the_slow_step(&lab, &repo, &id).await;
    let containers = lab.vms[0].docker(&["ps", "--quiet", "--filter", "label=hearth.workspace"]);
    assert_eq!(containers.lines().count(), 1, "{containers}");
    let whole = lab.client.watch(&id, 0).await;
    whole.assert_whole();
}

#[tokio::test]
async fn an_agent_that_is_asked_to_stop_ends_its_attempts_and_tells() {
    let mut lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", &SLOW.replace("sleep 5", "sleep 600"), "");
    let (id, _) = begin_and_wait_for_the_slow_step(&lab, &repo.url).await;
    let status = lab.agents[0].process().terminate();
    assert!(
        status.success(),
        "{status}: {}",
        lab.agents[0].process().log()
    );
    let story = lab.client.watch(&id, 0).await;
    story.assert_state(WorkspaceState::Failed);
    lab.assert_nothing_left(1).await;
}
