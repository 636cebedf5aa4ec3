//! Whoever dies in the middle loses nothing that matters.

use hearth_api::v1::{
    BuildStepStatus, FailureReason, PushOutcome, WorkspaceState, event::Kind,
    prepare_workspace_response::Message,
};
use hearth_tests::{
    Lab, app,
    client::{next, request},
};

const SLOW: &str =
    "FROM BASE\nRUN echo before > /x\nRUN echo now building && sleep 5\nRUN echo after > /y\n";

/// Begins a preparation and returns its workspace and the last sequence seen once the slow step is being built.
async fn begin_and_wait_for_the_slow_step(lab: &Lab, url: &str) -> (String, u64) {
    let mut stream = lab.client.begin(request("node-1", url)).await.unwrap();
    let mut id = String::new();
    while let Some(message) = next(&mut stream).await {
        match message.message.unwrap() {
            Message::Snapshot(workspace) => id = workspace.id,
            Message::Event(event) => {
                if let Some(Kind::BuildStep(step)) = &event.kind
                    && step.name.contains("sleep")
                    && step.status() == BuildStepStatus::Started
                {
                    return (id, event.sequence);
                }
            }
        }
    }
    panic!(
        "the slow step was never built: {:#?}",
        lab.client.get(&id).await
    );
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_nothing_and_another_goes_on_where_it_was() {
    let lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", SLOW, "");
    let (id, seen) = begin_and_wait_for_the_slow_step(&lab, &repo.url).await;
    let rest = lab.client.watch(&id, seen).await;
    assert_eq!(rest.events[0].sequence, seen + 1);
    assert_eq!(
        rest.workspace.state(),
        WorkspaceState::Ready,
        "{:#?}",
        rest.workspace
    );
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
    assert_eq!(
        rest.workspace.state(),
        WorkspaceState::Ready,
        "{:#?}",
        rest.workspace
    );
    assert_eq!(rest.workspace.attempt, 1);
    assert_eq!(
        rest.push(),
        PushOutcome::Pushed,
        "{:?}",
        rest.workspace.push
    );
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
    lab.agents[0].kill();
    // What the agent had started dies with it, at once.
    let docker_host = lab.vms[0].docker_host();
    hearth_tests::process::eventually("the agent's commands are gone", || {
        !commands_for(&docker_host)
    })
    .await;
    lab.agents[0].restart();
    let story = lab.client.watch(&id, 0).await;
    story.assert_whole();
    assert_eq!(story.workspace.state(), WorkspaceState::Failed);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(
        failure.reason(),
        FailureReason::AgentRestarted,
        "{failure:?}"
    );
    lab.assert_nothing_left(1).await;
    let left: Vec<_> = std::fs::read_dir(lab.agents[0].attempts_dir())
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");

    let dockerfile = SLOW
        .replace("BASE", &lab.base)
        .replace("sleep 5", "sleep 0");
    repo.commit(&[(".devcontainer/Dockerfile", &dockerfile)]);
    let story = lab.client.prepare_anew(&id).await;
    assert_eq!(
        story.workspace.state(),
        WorkspaceState::Ready,
        "{:#?}",
        story.workspace
    );
    assert_eq!(
        (story.workspace.id.as_str(), story.workspace.attempt),
        (id.as_str(), 2)
    );
}

/// Whether any process of a devcontainer CLI works on this engine.
fn commands_for(docker_host: &str) -> bool {
    let wanted = format!("DOCKER_HOST={docker_host}");
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let own = entry.file_name().to_string_lossy() == std::process::id().to_string();
        !own && environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    })
}

#[tokio::test]
async fn a_ready_workspace_outlives_its_agent_and_its_interrupted_push_is_told() {
    let mut lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let mut stream = lab
        .client
        .begin(request("node-1", &repo.url))
        .await
        .unwrap();
    let mut id = String::new();
    while let Some(message) = next(&mut stream).await {
        match message.message.unwrap() {
            Message::Snapshot(workspace) => id = workspace.id,
            Message::Event(event) => {
                if matches!(&event.kind, Some(Kind::StateChanged(c)) if c.state() == WorkspaceState::Ready)
                {
                    break;
                }
            }
        }
    }
    lab.agents[0].kill();
    lab.agents[0].restart();
    let story = lab.client.watch(&id, 0).await;
    assert_eq!(
        story.workspace.state(),
        WorkspaceState::Ready,
        "{:#?}",
        story.workspace
    );
    let outcome = story.push();
    assert!(
        matches!(outcome, PushOutcome::Interrupted | PushOutcome::Pushed),
        "the push is told: {outcome:?}"
    );
    let container = &story.workspace.container_id;
    assert_eq!(
        lab.vms[0].docker(&["exec", container, "cat", "/opt/built"]),
        "first"
    );
}

#[tokio::test]
async fn a_retry_replaces_work_and_never_doubles_it() {
    let lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "app", &SLOW.replace("sleep 5", "sleep 600"), "");
    let (id, _) = begin_and_wait_for_the_slow_step(&lab, &repo.url).await;
    let dockerfile = SLOW
        .replace("BASE", &lab.base)
        .replace("sleep 5", "sleep 0");
    repo.commit(&[(".devcontainer/Dockerfile", &dockerfile)]);
    let story = lab.client.prepare_anew(&id).await;
    assert_eq!(
        story.workspace.state(),
        WorkspaceState::Ready,
        "{:#?}",
        story.workspace
    );
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
    assert_eq!(story.workspace.state(), WorkspaceState::Failed);
    lab.assert_nothing_left(1).await;
}
