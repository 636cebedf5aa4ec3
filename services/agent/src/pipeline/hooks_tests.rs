use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{attempt::AttemptLog, metrics::AgentMetrics};

fn hooks(config: &Value, metadata: &[Value]) -> Hooks {
    Hooks::of(config.as_object(), metadata)
}

fn log(lines: &[&str]) -> HookLog {
    let metrics = AgentMetrics::new(&hearth_runtime::Metrics::default());
    let recorder = Recorder::new(Arc::new(AttemptLog::new(1)), metrics);
    let mut log = HookLog::new(&recorder, PipelineStep::Container);
    for line in lines {
        log.take(Line::Text(line));
    }
    log
}

fn message(log: &HookLog, result: Result<(), &str>) -> String {
    let result = result.map_err(ProcessFailure::new);
    let failure = log.failure(result).unwrap_err();
    assert_eq!(failure.reason(), FailureReason::HookFailed);
    failure.message
}

#[test]
fn a_workspace_waits_for_the_hooks_that_the_configuration_names() {
    use Hook::{OnCreate, PostCreate, PostStart, UpdateContent};
    let all = json!({
        "onCreateCommand": "a", "updateContentCommand": ["b"], "postCreateCommand": {"x": "c"},
        "postStartCommand": "d", "postAttachCommand": "e", "initializeCommand": "f",
    });
    let with = |wait_for: Option<&str>| {
        let mut config = all.clone();
        if let Some(wait_for) = wait_for {
            config["waitFor"] = json!(wait_for);
        }
        let hooks = hooks(&config, &[]);
        (
            Vec::from_iter(hooks.blocking()),
            Vec::from_iter(hooks.later()),
        )
    };
    let default = (vec![OnCreate, UpdateContent], vec![PostCreate, PostStart]);
    assert_eq!(with(None), default);
    assert_eq!(with(Some("updateContentCommand")), default);
    assert_eq!(with(Some("initializeCommand")).1, Vec::from_iter(Hook::ALL));
    assert_eq!(with(Some("onCreateCommand")).0, [OnCreate]);
    assert_eq!(with(Some("postCreateCommand")).1, [PostStart]);
    assert_eq!(with(Some("postStartCommand")).1, []);
}

#[test]
fn hooks_of_the_image_count_and_empty_ones_do_not() {
    let image = [
        json!({"id": "feature", "onCreateCommand": "a", "waitFor": "onCreateCommand"}),
        json!({"postStartCommand": "b", "waitFor": "postStartCommand"}),
        json!("nonsense"),
    ];
    let config = json!({"postCreateCommand": " ", "updateContentCommand": [], "postStartCommand": {}, "onCreateCommand": null});
    let joined = hooks(&config, &image);
    let expected = [Hook::OnCreate, Hook::PostStart];
    assert_eq!(Vec::from_iter(joined.blocking()), expected);
    let none = hooks(&config, &[]);
    assert_eq!((none.blocking(), none.later()), Default::default());
    let own = hooks(&json!({"waitFor": "onCreateCommand"}), &image);
    assert_eq!(Vec::from_iter(own.later()), [Hook::PostStart]);
}

#[test]
fn a_failed_hook_is_named_with_its_last_line() {
    let failed = log(&[
        "\u{1b}[1mRunning the onCreateCommand from devcontainer.json...\u{1b}[0m",
        "fine",
        "\u{1b}[1mRunning the postCreateCommand from Feature './tool'...\u{1b}[0m",
        "",
        "so sad",
        "\u{1b}[31mpostCreateCommand from Feature './tool' failed with exit code 9. Skipping any further user-provided commands.\u{1b}[39m",
    ]);
    assert_eq!(*failed.current().borrow(), Some(Hook::PostCreate));
    let expected = "postCreateCommand from Feature './tool' failed with exit code 9: so sad";
    assert_eq!(
        message(&failed, Err("Command failed: /bin/sh -c x")),
        expected
    );
    let silent = log(&[
        "Running the postStartCommand from devcontainer.json...",
        "server of postStartCommand from devcontainer.json failed with exit code 1. Skipping any further user-provided commands.",
    ]);
    let expected = "server of postStartCommand from devcontainer.json failed with exit code 1";
    assert_eq!(message(&silent, Err("x")), expected);
}

#[test]
fn an_end_that_the_cli_passes_over_is_a_failure() {
    let interrupted = log(&[
        "Running the postCreateCommand from devcontainer.json...",
        "postCreateCommand from devcontainer.json interrupted.",
        "Running the postStartCommand from devcontainer.json...",
        "fine",
    ]);
    let expected = "postCreateCommand from devcontainer.json failed with exit code 130";
    assert_eq!(message(&interrupted, Ok(())), expected);
    let fine = log(&[
        "Running the postCreateCommand from devcontainer.json...",
        "ok",
    ]);
    assert_eq!(fine.failure(Ok(())), Ok(()));
    let expected = BTreeSet::from([Hook::OnCreate, Hook::PostCreate]);
    assert_eq!(Vec::from_iter(fine.missing(&expected)), [Hook::OnCreate]);
}

#[test]
fn what_a_hook_prints_is_not_taken_for_the_cli() {
    let output = log(&[
        "Running the postCreateCommand from devcontainer.json...",
        "Running tests from here...",
        "the build from yesterday failed with exit code 3. Skipping any further tests",
    ]);
    assert_eq!(output.failure(Ok(())), Ok(()));
}
