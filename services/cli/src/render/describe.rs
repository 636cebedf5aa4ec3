//! An event as lines of text, without a time in front.

use console::truncate_str;
use hearth_api::v1::{
    BuildStep, BuildStepStatus, ContainerEnded, Expiring, Failure, Hook, HookStatus, StateChanged,
    StepFinished, StopCause, TransferDirection, TransferProgress, Waiting, WorkspaceState,
    event::Kind,
};
use hearth_domain::text::{printable_line, printable_lines};

use super::{
    format::{bytes, seconds, short},
    names, next, outcome,
};

/// The lines of an event: one, or one for each line of a command's output.
pub(crate) fn describe(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::StateChanged(change) => state_changed(change),
        Kind::StepStarted(started) => {
            let step = names::step(started.step);
            match printable_line(&started.description) {
                description if description.is_empty() => vec![step],
                description => vec![format!("{step}: {description}")],
            }
        }
        Kind::StepFinished(finished) => vec![step_finished(finished)],
        Kind::Cloned(cloned) => vec![match printable_line(&cloned.commit) {
            commit if commit.is_empty() => "no commit yet".to_owned(),
            commit => format!("commit {commit}"),
        }],
        Kind::BuildStep(step) => vec![build_step(step)],
        Kind::Log(chunk) => {
            let step = names::step(chunk.step);
            let mut lines = Vec::new();
            if chunk.dropped_lines > 0 {
                lines.push(format!("{step} | ({} lines dropped)", chunk.dropped_lines));
            }
            lines.extend(
                printable_lines(&chunk.text)
                    .lines()
                    .map(|text| format!("{step} | {text}")),
            );
            lines
        }
        Kind::Transfer(progress) => vec![transfer(progress)],
        Kind::Activity(activity) => {
            let step = names::step(activity.step);
            vec![format!("{step}: {}", printable_line(&activity.name))]
        }
        Kind::Cache(report) => {
            let mut lines = outcome::cache(report);
            if let Some(headline) = lines.first_mut() {
                headline.insert_str(0, "cache: ");
            }
            for reason in lines.iter_mut().skip(1) {
                reason.insert_str(0, "  ");
            }
            lines
        }
        Kind::Push(report) => vec![format!("push: {}", outcome::push(report))],
        Kind::Container(container) => vec![format!(
            "container {} started, user {}, folder {}",
            short(&printable_line(&container.container_id)),
            printable_line(&container.remote_user),
            printable_line(&container.remote_folder)
        )],
        Kind::Warning(warning) => vec![format!("warning: {}", printable_line(&warning.message))],
        Kind::Waiting(told) => vec![waiting(told)],
        Kind::ContainerEnded(ended) => vec![container_ended(ended)],
        Kind::Expiring(expiring) => vec![self::expiring(expiring)],
        Kind::Hook(told) => vec![hook(told)],
        Kind::Settled(_) => vec!["settled".to_owned()],
    }
}

/// `waiting for node-1, which is building the same image: about 30 s`
pub(crate) fn waiting(waiting: &Waiting) -> String {
    let node = printable_line(&waiting.node);
    let time = match waiting.unknown {
        true => "how long is unknown".to_owned(),
        false => format!("about {:.0} s", waiting.seconds),
    };
    format!("waiting for {node}, which is building the same image: {time}")
}

/// `container 0123456789ab ended with exit code 137: out of memory`
fn container_ended(ended: &ContainerEnded) -> String {
    let id = short(&printable_line(&ended.container_id));
    match (ended.removed, ended.out_of_memory) {
        (true, _) => format!("container {id} was removed"),
        (false, true) => format!(
            "container {id} ended with exit code {}: out of memory",
            ended.exit_code
        ),
        (false, false) => format!("container {id} ended with exit code {}", ended.exit_code),
    }
}

/// `will be stopped in 300 s: nobody uses it; \`hearth renew\` begins its time anew`
fn expiring(expiring: &Expiring) -> String {
    let what = match expiring.deleted {
        true => "deleted, with what was not pushed,",
        false => "stopped",
    };
    let why = match expiring.cause() {
        StopCause::Idle => "nobody uses it",
        _ => "its time to live ends",
    };
    format!(
        "will be {what} in {} s: {why}; `hearth renew` begins its time anew",
        expiring.seconds_left
    )
}

/// `postCreateCommand from devcontainer.json done (3.2 s)`, `lint of postCreateCommand from … failed with exit code 2 (0.1 s)`
pub(crate) fn hook(hook: &Hook) -> String {
    let of = match hook.command.is_empty() {
        true => String::new(),
        false => format!("{} of ", hook.command),
    };
    let what = printable_line(&format!("{of}{} from {}", hook.name, hook.origin));
    let how = match (hook.status(), hook.exit_code) {
        (HookStatus::Started | HookStatus::Unspecified, _) => return format!("{what} runs"),
        (HookStatus::Succeeded, _) => "done".to_owned(),
        (HookStatus::Failed, 0) => "failed".to_owned(),
        (HookStatus::Failed, code) => format!("failed with exit code {code}"),
        (HookStatus::LeftRunning, _) => "is left running".to_owned(),
    };
    format!("{what} {how} ({})", seconds(hook.seconds))
}

/// `BUILD_FAILED in image: the message`
pub(crate) fn failure(failure: &Failure) -> String {
    let reason = names::failure_reason(failure.reason);
    let message = next::message(failure);
    match failure.step {
        0 => format!("{reason}: {message}"),
        step => format!("{reason} in {}: {message}", names::step(step)),
    }
}

/// Columns of a build step's name: a `RUN` can be a script of many lines, and its beginning identifies it.
const MAX_STEP_NAME: usize = 120;

/// `[stage-0 3/7] RUN make (cached)`
fn build_step(step: &BuildStep) -> String {
    let name = printable_line(&step.name);
    let name = truncate_str(&name, MAX_STEP_NAME, "…");
    match step.status() {
        BuildStepStatus::Started | BuildStepStatus::Unspecified => name.into_owned(),
        BuildStepStatus::Done => format!("{name} ({})", seconds(step.seconds)),
        BuildStepStatus::Cached | BuildStepStatus::Failed | BuildStepStatus::Canceled => {
            format!("{name} ({})", names::build_status(step.status))
        }
    }
}

fn state_changed(change: &StateChanged) -> Vec<String> {
    let state = match (change.state(), change.start) {
        (WorkspaceState::Stopped, _) => format!(
            "{} ({})",
            names::state(change.state),
            names::stop_cause(change.stop_cause)
        ),
        (WorkspaceState::Pending, true) => format!("{}: is started", names::state(change.state)),
        _ => names::state(change.state),
    };
    let after = seconds(change.seconds);
    let headline = match change.seconds > 0.0 {
        true => format!("{state} after {after}"),
        false => state,
    };
    let why = change.failure.as_ref().map(failure);
    [headline].into_iter().chain(why).collect()
}

fn step_finished(finished: &StepFinished) -> String {
    let word = match finished.succeeded {
        true => "done",
        false => "failed",
    };
    let step = names::step(finished.step);
    format!("{step} {word} ({})", seconds(finished.seconds))
}

fn transfer(progress: &TransferProgress) -> String {
    let verb = match progress.direction() {
        TransferDirection::Push => "pushed",
        TransferDirection::Fetch | TransferDirection::Unspecified => "fetched",
    };
    let moved = match progress.bytes_total {
        0 => format!("{verb} {}", bytes(progress.bytes_done)),
        total => format!("{verb} {} of {}", bytes(progress.bytes_done), bytes(total)),
    };
    match layers((progress.layers_done, progress.layers_total)) {
        Some(layers) => format!("{moved}, {layers}"),
        None => moved,
    }
}

/// `3 of 7 layers`, where they are counted.
pub(crate) fn layers((done, total): (u32, u32)) -> Option<String> {
    let layers = if total == 1 { "layer" } else { "layers" };
    (total > 0).then(|| format!("{done} of {total} {layers}"))
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{
        Cloned, ContainerStarted, FailureReason, LogChunk, PipelineStep, StepStarted, Waiting,
        Warning, WorkspaceState,
    };

    use super::*;

    #[test]
    fn a_wait_has_an_estimate_or_says_that_it_is_unknown() {
        let wait = |seconds, unknown| {
            let node = "node-1".into();
            describe(&Kind::Waiting(Waiting {
                node,
                seconds,
                unknown,
            }))
        };
        let said = "waiting for node-1, which is building the same image: ";
        assert_eq!(wait(41.7, false), [format!("{said}about 42 s")]);
        assert_eq!(wait(0.0, true), [format!("{said}how long is unknown")]);
    }

    #[test]
    fn steps_states_and_failures_read_as_sentences() {
        assert_eq!(
            describe(&Kind::StepStarted(StepStarted {
                step: PipelineStep::Clone.into(),
                description: "cloning \u{1b}]0;x\u{7}a".into(),
            })),
            ["clone: cloning a"]
        );
        assert_eq!(
            describe(&Kind::StepFinished(StepFinished {
                step: PipelineStep::Clone.into(),
                seconds: 1.2,
                succeeded: true,
            })),
            ["clone done (1.2 s)"]
        );
        assert_eq!(
            describe(&Kind::StateChanged(StateChanged {
                state: WorkspaceState::Failed.into(),
                failure: Some(Failure {
                    reason: FailureReason::RefNotFound.into(),
                    message: "no branch `x`".into(),
                    step: PipelineStep::Clone.into(),
                    ..Default::default()
                }),
                seconds: 2.0,
                ..Default::default()
            })),
            [
                "FAILED after 2.0 s",
                "REF_NOT_FOUND in clone: no branch `x`"
            ]
        );
    }

    #[test]
    fn output_is_printed_line_by_line_with_the_number_of_dropped_lines() {
        assert_eq!(
            describe(&Kind::Log(LogChunk {
                step: PipelineStep::Image.into(),
                text: "one\n\u{1b}[2Jtwo\n".into(),
                dropped_lines: 3,
            })),
            ["image | (3 lines dropped)", "image | one", "image | two"]
        );
    }

    #[test]
    fn a_clone_names_its_commit_if_there_is_one() {
        for (commit, line) in [("c0ffee", "commit c0ffee"), ("", "no commit yet")] {
            let commit = commit.to_owned();
            assert_eq!(describe(&Kind::Cloned(Cloned { commit })), [line]);
        }
    }

    #[test]
    fn build_steps_say_how_they_ended() {
        let step = |status: BuildStepStatus| {
            describe(&Kind::BuildStep(BuildStep {
                number: 3,
                name: "[3/10] RUN make".into(),
                status: status.into(),
                seconds: 4.0,
            }))
        };
        assert_eq!(step(BuildStepStatus::Started), ["[3/10] RUN make"]);
        assert_eq!(step(BuildStepStatus::Done), ["[3/10] RUN make (4.0 s)"]);
        assert_eq!(step(BuildStepStatus::Cached), ["[3/10] RUN make (cached)"]);
    }

    #[test]
    fn a_script_as_long_as_a_page_is_cut_to_its_beginning() {
        let lines = describe(&Kind::BuildStep(BuildStep {
            name: format!("[3/10] RUN {}", "ä".repeat(500)),
            ..BuildStep::default()
        }));
        assert_eq!(console::measure_text_width(&lines[0]), MAX_STEP_NAME);
        assert!(lines[0].ends_with('…'));
    }

    #[test]
    fn names_from_a_repository_cannot_control_the_terminal() {
        let harm = "x\u{1b}[31m\u{9b}2J\u{7}\r\ny";
        for kind in [
            Kind::Warning(Warning {
                message: harm.into(),
            }),
            Kind::Container(ContainerStarted {
                container_id: harm.into(),
                remote_user: harm.into(),
                remote_folder: harm.into(),
            }),
            Kind::BuildStep(BuildStep {
                name: harm.into(),
                ..Default::default()
            }),
        ] {
            let lines = describe(&kind);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(!lines[0].contains(char::is_control), "{lines:?}");
        }
    }
}
