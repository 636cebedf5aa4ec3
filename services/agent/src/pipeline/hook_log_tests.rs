use std::sync::Arc;

use super::*;
use crate::{attempt::AttemptLog, metrics::AgentMetrics};

fn log(lines: &[&str]) -> HookLog {
    followed(lines).0
}

fn followed(lines: &[&str]) -> (HookLog, Arc<AttemptLog>) {
    let metrics = AgentMetrics::new(&hearth_runtime::Metrics::default());
    let events = Arc::new(AttemptLog::new(1));
    let recorder = Recorder::new(events.clone(), metrics);
    let mut log = HookLog::new(&recorder, PipelineStep::Container);
    for line in lines {
        log.take(Line::Text(line));
    }
    (log, events)
}

/// All events, which a log gives in batches.
fn all(log: &AttemptLog) -> Vec<v1::Event> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let batch = log.after(after, None).events;
        let Some(last) = batch.last() else {
            return events;
        };
        after = last.sequence;
        events.extend(batch);
    }
}

/// What the events of hooks say: hook, origin, command, status, exit code.
fn told(log: &AttemptLog) -> Vec<(String, String, String, HookStatus, u32)> {
    let events = all(log).into_iter();
    let hooks = events.filter_map(|event| match event.kind {
        Some(Kind::Hook(hook)) => Some(hook),
        _ => None,
    });
    hooks
        .map(|hook| {
            let status = hook.status();
            (hook.name, hook.origin, hook.command, status, hook.exit_code)
        })
        .collect()
}

fn message(log: &mut HookLog, result: Result<(), &str>) -> String {
    let result = result.map_err(ProcessFailure::new);
    let failure = log.failure(result).unwrap_err();
    assert_eq!(failure.reason(), FailureReason::HookFailed);
    failure.message
}

#[test]
fn a_failed_hook_is_named_with_its_last_line() {
    let mut failed = log(&[
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
        message(&mut failed, Err("Command failed: /bin/sh -c x")),
        expected
    );
    let mut silent = log(&[
        "Running the postStartCommand from devcontainer.json...",
        "server of postStartCommand from devcontainer.json failed with exit code 1. Skipping any further user-provided commands.",
    ]);
    let expected = "server of postStartCommand from devcontainer.json failed with exit code 1";
    assert_eq!(message(&mut silent, Err("x")), expected);
}

#[test]
fn an_end_that_the_cli_passes_over_is_a_failure() {
    let mut interrupted = log(&[
        "Running the postCreateCommand from devcontainer.json...",
        "postCreateCommand from devcontainer.json interrupted.",
        "Running the postStartCommand from devcontainer.json...",
        "fine",
    ]);
    let expected = "postCreateCommand from devcontainer.json failed with exit code 130";
    assert_eq!(message(&mut interrupted, Ok(())), expected);
    let mut fine = log(&[
        "Running the postCreateCommand from devcontainer.json...",
        "ok",
    ]);
    assert_eq!(fine.failure(Ok(())), Ok(()));
    let expected = BTreeSet::from([Hook::OnCreate, Hook::PostCreate]);
    assert_eq!(Vec::from_iter(fine.missing(&expected)), [Hook::OnCreate]);
}

#[test]
fn what_a_hook_prints_is_not_taken_for_the_cli() {
    let mut output = log(&[
        "Running the postCreateCommand from devcontainer.json...",
        "Running tests from here...",
        "the build from yesterday failed with exit code 3. Skipping any further tests",
    ]);
    assert_eq!(output.failure(Ok(())), Ok(()));
}

#[test]
fn each_hook_and_each_command_of_several_is_told_with_its_end() {
    let (mut log, events) = followed(&[
        "Running the onCreateCommand from Feature './tool'...",
        "fine",
        "Running the onCreateCommand from devcontainer.json...",
        "Running one of onCreateCommand from devcontainer.json...",
        "output of one",
        "two of onCreateCommand from devcontainer.json failed with exit code 7. Skipping any further user-provided commands.",
        "Running three of onCreateCommand from devcontainer.json...",
    ]);
    let expected =
        "two of onCreateCommand from devcontainer.json failed with exit code 7: output of one";
    assert_eq!(message(&mut log, Err("Command failed: x")), expected);
    let row = |origin: &str, command: &str, status, code| {
        let hook = "onCreateCommand".to_owned();
        (hook, origin.to_owned(), command.to_owned(), status, code)
    };
    let (feature, config) = ("Feature './tool'", "devcontainer.json");
    assert_eq!(
        told(&events),
        [
            row(feature, "", HookStatus::Started, 0),
            row(feature, "", HookStatus::Succeeded, 0),
            row(config, "", HookStatus::Started, 0),
            row(config, "one", HookStatus::Succeeded, 0),
            row(config, "two", HookStatus::Failed, 7),
            row(config, "three", HookStatus::Succeeded, 0),
            row(config, "", HookStatus::Failed, 7),
        ]
    );
}

#[test]
fn a_hook_that_is_left_alone_is_told_so_and_a_flood_of_sentences_makes_few_events() {
    let (mut log, events) = followed(&["Running the postStartCommand from devcontainer.json..."]);
    log.leave_running();
    assert_eq!(told(&events)[1].3, HookStatus::LeftRunning);
    let lines = ["Running the postStartCommand from devcontainer.json..."; 8 * MAX_TOLD];
    let (log, events) = followed(&lines);
    drop(log);
    assert_eq!(told(&events).len(), MAX_TOLD);
    // What is only for display is not more than that by much.
    let count = all(&events).len();
    assert!(count < 3 * MAX_TOLD, "{count}");
}
