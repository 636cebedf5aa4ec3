//! Summary of a workspace: the end of `up`, and `get`.

use hearth_api::v1::{Failure, TtlAction, Workspace, WorkspaceState};
use hearth_domain::text::{printable_line, printable_lines};

use super::{
    describe,
    format::{seconds, shell_word, short},
    names, next, outcome, table,
};

/// The workspace in a few lines.
pub(crate) fn workspace(workspace: &Workspace) -> String {
    let mut lines = vec![headline(workspace)];
    let mut entry = |name: &str, text: String| lines.push(format!("  {name:<11}{text}"));
    entry("repository", repository(workspace));
    if let Some(report) = &workspace.cache {
        let mut sentences = outcome::cache(report).into_iter();
        entry("cache", sentences.next().unwrap_or_default());
        for reason in sentences {
            entry("", reason);
        }
    }
    if let Some(text) = next::recovery(workspace) {
        entry("runs", text.to_owned());
    }
    if !workspace.timings.is_empty() {
        let steps = workspace
            .timings
            .iter()
            .map(|timing| format!("{} {}", names::step(timing.step), seconds(timing.seconds)));
        entry("steps", steps.collect::<Vec<_>>().join(", "));
    }
    for (number, hook) in workspace.hooks.iter().enumerate() {
        entry(if number == 0 { "hooks" } else { "" }, describe::hook(hook));
    }
    if !workspace.container_id.is_empty() {
        entry(
            "container",
            format!(
                "{}, user {}, folder {}",
                short(&printable_line(&workspace.container_id)),
                printable_line(&workspace.remote_user),
                printable_line(&workspace.remote_folder)
            ),
        );
        let state = workspace.state();
        if matches!(state, WorkspaceState::Ready | WorkspaceState::Recovery) {
            entry("enter", enter(workspace));
        }
    }
    if let Some(text) = push(workspace) {
        entry("push", text);
    }
    if !workspace.owner.is_empty() {
        entry("owner", printable_line(&workspace.owner));
    }
    if !workspace.labels.is_empty() {
        entry("labels", printable_line(&table::labels(workspace)));
    }
    if let Some(text) = lifetime(workspace) {
        entry("lifetime", text);
    }
    if let Some(failure) = &workspace.failure {
        lines.extend(self::failure(failure));
    }
    let steps = next::steps(workspace).into_iter();
    lines.extend(steps.map(|(name, text)| format!("  {name:<11}{text}")));
    lines.join("\n")
}

/// The reason, and the last lines of the command's output.
fn failure(failure: &Failure) -> Vec<String> {
    let mut lines = vec![describe::failure(failure)];
    lines.extend(
        printable_lines(&failure.output_tail)
            .lines()
            .map(|text| format!("  | {text}")),
    );
    lines
}

/// `READY in 34.2 s: w-1 on node-1`
fn headline(workspace: &Workspace) -> String {
    let state = match workspace.state() {
        WorkspaceState::Stopped => format!(
            "{} ({})",
            names::state(workspace.state),
            names::stop_cause(workspace.stop_cause)
        ),
        _ => names::state(workspace.state),
    };
    let is_there = !matches!(
        workspace.state(),
        WorkspaceState::Lost | WorkspaceState::Stopping | WorkspaceState::Stopped
    );
    let took = match workspace.ready_seconds > 0.0 && is_there {
        true => format!(" in {}", seconds(workspace.ready_seconds)),
        false => String::new(),
    };
    let attempt = match workspace.attempt > 1 {
        true => format!(", attempt {}", workspace.attempt),
        false => String::new(),
    };
    let id = printable_line(&workspace.id);
    match printable_line(&workspace.node) {
        node if node.is_empty() => format!("{state}{took}: {id}{attempt}"),
        node => format!("{state}{took}: {id} on {node}{attempt}"),
    }
}

/// `8 h since it was prepared, started or renewed, then stopped; stopped after 30 min without use`
fn lifetime(workspace: &Workspace) -> Option<String> {
    let lifetime = workspace.lifetime.unwrap_or_default();
    let seconds = |limit: Option<u32>| limit.filter(|seconds| *seconds > 0);
    let ttl = seconds(lifetime.ttl_seconds).map(|ttl| {
        let then = match lifetime.ttl_action() {
            TtlAction::Delete => "deleted",
            TtlAction::Stop | TtlAction::Unspecified => "stopped",
        };
        format!("{then} {ttl} s after it was prepared, started or renewed")
    });
    let idle = seconds(lifetime.idle_timeout_seconds);
    let idle = idle.map(|idle| format!("stopped after {idle} s without use"));
    let parts: Vec<_> = ttl.into_iter().chain(idle).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn repository(workspace: &Workspace) -> String {
    let Some(spec) = &workspace.spec else {
        return "-".to_owned();
    };
    let named = [
        ("ref", printable_line(&spec.r#ref)),
        ("config", printable_line(&spec.config)),
        ("commit", short(&printable_line(&workspace.commit))),
    ];
    let mut details: Vec<String> = named
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if spec.lightweight {
        details.push("lightweight".to_owned());
    }
    match details.is_empty() {
        true => printable_line(&spec.repository),
        false => format!(
            "{} ({})",
            printable_line(&spec.repository),
            details.join(", ")
        ),
    }
}

/// The command that opens a shell in the container.
fn enter(workspace: &Workspace) -> String {
    format!(
        "hearth shell {}",
        shell_word(&printable_line(&workspace.id))
    )
}

fn push(workspace: &Workspace) -> Option<String> {
    match (&workspace.push, workspace.settled, workspace.state()) {
        (Some(report), _, _) => Some(outcome::push(report)),
        (None, false, WorkspaceState::Ready | WorkspaceState::Recovery) => Some(format!(
            "running in the background; follow it with: hearth logs {} --follow",
            shell_word(&printable_line(&workspace.id))
        )),
        (None, _, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{
        CacheReport, CacheResult, FailureReason, PipelineStep, PushOutcome, PushReport, StepTiming,
        WorkspaceSpec,
    };

    use super::*;

    fn ready() -> Workspace {
        Workspace {
            id: "w-1".into(),
            spec: Some(WorkspaceSpec {
                repository: "https://git.example/a/b".into(),
                r#ref: "main".into(),
                ..Default::default()
            }),
            node: "node-1".into(),
            state: WorkspaceState::Ready.into(),
            attempt: 1,
            commit: "0123456789abcdef".into(),
            container_id: "fedcba9876543210".into(),
            remote_user: "vscode".into(),
            remote_folder: "/workspaces/b".into(),
            cache: Some(CacheReport {
                result: CacheResult::Exact.into(),
                bytes_fetched: 52_000_000,
                seconds: 3.1,
                ..Default::default()
            }),
            timings: vec![
                StepTiming {
                    step: PipelineStep::Clone.into(),
                    seconds: 1.2,
                },
                StepTiming {
                    step: PipelineStep::Image.into(),
                    seconds: 3.1,
                },
            ],
            ready_seconds: 6.04,
            ..Default::default()
        }
    }

    #[test]
    fn a_ready_workspace_says_how_it_was_prepared_and_how_to_enter_it() {
        assert_eq!(
            workspace(&ready()),
            "\
READY in 6.0 s: w-1 on node-1
  repository https://git.example/a/b (ref main, commit 0123456789ab)
  cache      exact hit: fetched 52 MB in 3.1 s, nothing was built
  steps      clone 1.2 s, image 3.1 s
  container  fedcba987654, user vscode, folder /workspaces/b
  enter      hearth shell w-1
  push       running in the background; follow it with: hearth logs w-1 --follow"
        );
        let settled = Workspace {
            settled: true,
            push: Some(PushReport {
                outcome: PushOutcome::Unchanged.into(),
                ..Default::default()
            }),
            ..ready()
        };
        assert!(workspace(&settled).ends_with("\n  push       unchanged"));
    }

    #[test]
    fn a_lost_workspace_says_why_and_not_how_to_enter_it() {
        let lost = Workspace {
            state: WorkspaceState::Lost.into(),
            settled: true,
            failure: Some(Failure {
                reason: FailureReason::ContainerGone.into(),
                message: "Its container does not run.".into(),
                ..Default::default()
            }),
            ..ready()
        };
        let text = workspace(&lost);
        assert!(text.starts_with("LOST: w-1 on node-1\n"), "{text}");
        let why = "\nCONTAINER_GONE: Its container does not run.\n";
        assert!(text.contains(why), "{text}");
        assert!(!text.contains("enter"), "{text}");
    }

    #[test]
    fn the_command_to_enter_cannot_be_made_to_run_another() {
        let hostile = Workspace {
            id: "x; rm -rf ~ '$(id)\u{1b}[8m".into(),
            remote_user: "x; rm -rf ~".into(),
            remote_folder: "/a'$(id)\u{1b}[8m".into(),
            ..ready()
        };
        let text = workspace(&hostile);
        let command = text
            .lines()
            .find_map(|line| line.strip_prefix("  enter      "));
        let words = command.and_then(shlex::split).unwrap_or_default();
        assert_eq!(words, ["hearth", "shell", "x; rm -rf ~ '$(id)"], "{text}");
    }

    #[test]
    fn a_failed_workspace_ends_with_the_tail_of_the_output() {
        let failed = Workspace {
            id: "w-2".into(),
            state: WorkspaceState::Failed.into(),
            attempt: 2,
            settled: true,
            failure: Some(Failure {
                reason: FailureReason::BuildFailed.into(),
                message: "the image could not be built".into(),
                output_tail: "make: *** [all]\r\n\u{1b}[31mError 2\n".into(),
                step: PipelineStep::Image.into(),
            }),
            ..Default::default()
        };
        assert_eq!(
            workspace(&failed),
            "\
FAILED: w-2, attempt 2
  repository -
BUILD_FAILED in image: the image could not be built
  | make: *** [all]
  | Error 2
  next       mend what the build stumbled over, push it, and prepare the workspace again
  again      hearth up --workspace w-2
  log        hearth logs w-2 --build"
        );
    }
}
