//! Hooks: which of them READY waits for, and what becomes of a workspace whose hook fails or does not end.

use hearth_api::v1::{
    CacheResult, FailureReason, HookStatus, PipelineStep, PushOutcome, WatchUntil, WorkspaceState,
    event::Kind,
};
use hearth_tests::{
    Lab, Vm, app,
    client::{Story, request},
};

const OWN: &str = "FROM BASE\nRUN echo own > /opt/own\n";

/// Prepares a repository with a Dockerfile and these properties.
async fn prepare(lab: &Lab, name: &str, properties: &str, timeout_seconds: u32) -> Story {
    let repo = app::with_dockerfile(lab, name, OWN, &format!(", {properties}"));
    let mut request = request("node-1", &repo.url);
    request.spec.as_mut().unwrap().timeout_seconds = timeout_seconds;
    let story = lab.client.run(request).await;
    story.assert_whole();
    story
}

/// The text of a file in the clone, in its container.
fn in_clone(lab: &Lab, story: &Story, name: &str) -> String {
    let workspace = &story.workspace;
    let path = format!("{}/{name}", workspace.remote_folder);
    lab.vms[0].cat(&workspace.container_id, &path)
}

fn position(story: &Story, is_so: impl Fn(&Kind) -> bool) -> usize {
    let position = story.position(is_so);
    position.unwrap_or_else(|| panic!("{:#?}", story.events))
}

fn is_ready(kind: &Kind) -> bool {
    matches!(kind, Kind::StateChanged(changed) if changed.state() == WorkspaceState::Ready)
}

#[tokio::test]
async fn ready_waits_for_the_hooks_up_to_wait_for_and_each_runs_once() {
    let lab = Lab::new(1).await;
    let hooks = r#""onCreateCommand": "echo a >> .runs", "updateContentCommand": ["sh", "-c", "echo b >> .runs"],
        "postCreateCommand": {"one": "echo c >> .runs"}, "postStartCommand": "echo d >> .runs", "postAttachCommand": "echo e >> .runs""#;
    let began =
        |kind: &Kind| matches!(kind, Kind::StepStarted(step) if step.step() == PipelineStep::Hooks);
    let story = prepare(&lab, "default", hooks, 0).await;
    story.assert_state(WorkspaceState::Ready);
    assert!(position(&story, is_ready) < position(&story, began));
    assert_eq!(in_clone(&lab, &story, ".runs"), "a\nb\nc\nd");
    let all = format!(r#"{hooks}, "waitFor": "postStartCommand""#);
    let story = prepare(&lab, "all", &all, 0).await;
    assert_eq!(story.position(began), None);
    assert_eq!(in_clone(&lab, &story, ".runs"), "a\nb\nc\nd");
}

/// What the events say of hooks: name, origin, command, status, exit code.
fn told(story: &Story) -> Vec<(&str, &str, &str, HookStatus, u32)> {
    let hooks = story.kinds().filter_map(|kind| match kind {
        Kind::Hook(hook) => Some(hook),
        _ => None,
    });
    let rows = hooks.map(|hook| {
        let texts = (
            hook.name.as_str(),
            hook.origin.as_str(),
            hook.command.as_str(),
        );
        (texts.0, texts.1, texts.2, hook.status(), hook.exit_code)
    });
    rows.collect()
}

#[tokio::test]
async fn hooks_run_in_the_order_of_the_specification_and_each_is_told_with_its_end() {
    let lab = Lab::new(1).await;
    let properties = r#""features": {"./tool": {}}, "remoteUser": "dev",
        "onCreateCommand": {"b": "echo config-b >> .runs; exit 4", "a": ["sh", "-c", "echo config-a >> .runs"]},
        "postCreateCommand": "echo never >> .runs""#;
    let repo = app::with_dockerfile(&lab, "told", OWN, &format!(", {properties}"));
    repo.commit(&[
        (
            ".devcontainer/tool/devcontainer-feature.json",
            r#"{"id": "tool", "version": "1.0.0", "onCreateCommand": "echo feature >> .runs", "postCreateCommand": "echo never >> .runs"}"#,
        ),
        (".devcontainer/tool/install.sh", "#!/bin/sh\nexit 0\n"),
    ]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Recovery);
    let message = story.workspace.failure.clone().unwrap().message;
    assert!(
        message.starts_with("b of onCreateCommand from devcontainer.json failed with exit code 4"),
        "{message}"
    );
    let (feature, config) = ("Feature './tool'", "devcontainer.json");
    let hook = |origin, command, status, code| ("onCreateCommand", origin, command, status, code);
    let mut seen = told(&story);
    // Both commands are at work at the same time.
    seen[3..5].sort_by_key(|row| row.2);
    assert_eq!(
        seen,
        [
            hook(feature, "", HookStatus::Started, 0),
            hook(feature, "", HookStatus::Succeeded, 0),
            hook(config, "", HookStatus::Started, 0),
            hook(config, "a", HookStatus::Succeeded, 0),
            hook(config, "b", HookStatus::Failed, 4),
            hook(config, "", HookStatus::Failed, 4),
        ]
    );
    let runs = in_clone(&lab, &story, ".runs");
    assert!(
        runs.starts_with("feature\n") && runs.contains("config-a") && !runs.contains("never"),
        "{runs}"
    );
    let kept = story.workspace.hooks.iter();
    let kept: Vec<_> = kept
        .map(|hook| (hook.origin.as_str(), hook.command.as_str(), hook.status()))
        .collect();
    assert_eq!(
        kept[..2],
        [
            (feature, "", HookStatus::Succeeded),
            (config, "", HookStatus::Failed)
        ]
    );
    assert_eq!(kept.len(), 4);
}

#[tokio::test]
async fn a_failing_hook_keeps_the_projects_container_and_its_image_is_pushed() {
    let lab = Lab::new(2).await;
    for (name, hook, states) in [
        (
            "blocking",
            "onCreateCommand",
            vec![WorkspaceState::Recovery],
        ),
        (
            "later",
            "postCreateCommand",
            vec![WorkspaceState::Ready, WorkspaceState::Recovery],
        ),
    ] {
        let properties = format!(r#""remoteUser": "dev", "{hook}": "echo so sad; exit 9""#);
        let story = prepare(&lab, name, &properties, 0).await;
        assert_eq!(story.states()[1..], states, "{:#?}", story.workspace);
        let failure = story.workspace.failure.clone().unwrap();
        assert_eq!(failure.reason(), FailureReason::HookFailed, "{failure:?}");
        let expected = format!("{hook} from devcontainer.json failed with exit code 9: so sad");
        assert_eq!(failure.message, expected);
        let id = &story.workspace.container_id;
        assert_eq!(lab.vms[0].cat(id, "/opt/own"), "own");
        assert_eq!(story.workspace.remote_user, "dev");
        let note = lab.vms[0].cat(id, "/workspaces/hearth-recovery.txt");
        assert!(note.contains("so sad"), "{note}");
        // The second one reuses the step of the first.
        let built = [CacheResult::Miss, CacheResult::Partial];
        assert!(built.contains(&story.result()), "{:?}", story.cache());
        story.assert_push(PushOutcome::Pushed);
    }
}

#[tokio::test]
async fn a_stream_up_to_the_hooks_has_their_results() {
    let lab = Lab::new(1).await;
    for (name, hook, state) in [
        ("good", "sleep 1; echo yes > created", WorkspaceState::Ready),
        ("bad", "sleep 1; exit 3", WorkspaceState::Recovery),
    ] {
        let properties = format!(r#", "postCreateCommand": "{hook}""#);
        let repo = app::with_dockerfile(&lab, name, OWN, &properties);
        let mut request = request("node-1", &repo.url);
        request.until = WatchUntil::Hooks.into();
        let story = lab.client.run(request).await;
        assert_eq!(story.states().last(), Some(&state), "{:#?}", story.events);
        if state == WorkspaceState::Ready {
            assert_eq!(in_clone(&lab, &story, "created"), "yes");
        }
    }
}

#[tokio::test]
async fn an_image_is_pushed_although_its_container_cannot_be_started() {
    let lab = Lab::new(1).await;
    let story = prepare(&lab, "app", r#""runArgs": ["--memory", "nonsense"]"#, 0).await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(failure.reason(), FailureReason::ContainerFailed);
    assert!(
        failure.message.contains("invalid argument \"nonsense\""),
        "{failure:?}"
    );
    assert!(!failure.message.contains("docker run"), "{failure:?}");
    story.assert_result(CacheResult::Miss);
    story.assert_push(PushOutcome::Pushed);
}

#[tokio::test]
async fn a_server_in_a_hook_does_not_hold_up_the_workspace_and_runs_on() {
    let lab = Lab::new(1).await;
    let server = r#"while :; do date +%s%N > /tmp/beat; sleep 0.1; done"#;
    for (name, properties) in [
        ("start", format!(r#""postStartCommand": "{server}""#)),
        (
            "waited",
            format!(
                r#""waitFor": "postCreateCommand", "postCreateCommand": "echo yes > created", "postStartCommand": {{"web": "{server}"}}"#
            ),
        ),
    ] {
        let story = prepare(&lab, name, &properties, 100).await;
        story.assert_state(WorkspaceState::Ready);
        let warned = story.position(
            |kind| matches!(kind, Kind::Warning(warning) if warning.message.starts_with("postStartCommand has not ended")),
        );
        assert!(warned.is_some(), "{:#?}", story.events);
        if name == "waited" {
            assert_eq!(in_clone(&lab, &story, "created"), "yes");
        }
        assert_beats(&lab.vms[0], &story.workspace.container_id);
    }
    let attach = format!(r#""postAttachCommand": "{server}""#);
    let story = prepare(&lab, "attach", &attach, 100).await;
    story.assert_state(WorkspaceState::Ready);
}

/// Waits until the server in the container has beaten once more.
fn assert_beats(vm: &Vm, container: &str) {
    let before = vm.cat(container, "/tmp/beat");
    for _ in 0..100 {
        if vm.cat(container, "/tmp/beat") != before {
            return;
        }
    }
    panic!("the server does not run any more");
}

#[tokio::test]
async fn a_time_limit_names_the_hook_and_keeps_the_container() {
    let lab = Lab::new(1).await;
    let properties = r#""onCreateCommand": "echo nearly there; sleep 1000""#;
    let story = prepare(&lab, "app", properties, 20).await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(failure.reason(), FailureReason::TimedOut, "{failure:?}");
    assert_eq!(failure.step(), PipelineStep::Container);
    let expected = "it was not ready within 20 s: onCreateCommand has not ended";
    assert_eq!(failure.message, expected);
    assert!(failure.output_tail.ends_with("nearly there"), "{failure:?}");
    let id = &story.workspace.container_id;
    assert_eq!(lab.vms[0].cat(id, "/opt/own"), "own");
    story.assert_push(PushOutcome::Pushed);
}

#[tokio::test]
async fn hooks_that_the_cli_does_not_run_or_whose_end_it_passes_over_are_not_a_success() {
    let lab = Lab::new(1).await;
    // The CLI keeps marks in the home folder, and without them it runs nothing and reports success.
    let homeless = "FROM BASE\nRUN echo 'homeless:x:4711:4711::/nowhere:/bin/sh' >> /etc/passwd\n";
    let repo = app::with_dockerfile(
        &lab,
        "homeless",
        homeless,
        r#", "remoteUser": "homeless", "onCreateCommand": "id -un > .created", "postCreateCommand": "id -un > .later""#,
    );
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    assert_eq!(in_clone(&lab, &story, ".created"), "homeless");
    assert_eq!(in_clone(&lab, &story, ".later"), "homeless");

    let story = prepare(
        &lab,
        "read-only",
        r#""runArgs": ["--read-only"], "onCreateCommand": "true""#,
        0,
    )
    .await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(failure.reason(), FailureReason::HookFailed, "{failure:?}");
    assert!(
        failure.message.starts_with("onCreateCommand did not run"),
        "{failure:?}"
    );

    let story = prepare(&lab, "interrupted", r#""postCreateCommand": "exit 130""#, 0).await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().unwrap();
    assert!(
        failure.message.ends_with("failed with exit code 130"),
        "{failure:?}"
    );
}
