//! What a user can do about a workspace that is not as it was asked for.

use hearth_api::v1::{
    CacheReport, CacheSkipReason, Failure, FailureReason as Reason, Fallback, PushOutcome,
    PushReport, Workspace, WorkspaceState,
};
use hearth_domain::text::printable_line;

use super::format::shell_word;

/// A name and a text for each line: what to do in a sentence, then commands, to be pasted as they are.
pub(crate) fn steps(workspace: &Workspace) -> Vec<(&'static str, String)> {
    let id = shell_word(&printable_line(&workspace.id));
    let mut steps = Vec::new();
    if workspace.state() == WorkspaceState::Stopped {
        steps.push(("start", format!("hearth start {id}")));
        steps.push(("log", format!("hearth logs {id}")));
        return steps;
    }
    if let Some(failure) = &workspace.failure {
        steps.extend(advice(failure.reason(), workspace).map(|text| ("next", text)));
        steps.extend(other(failure.reason(), workspace));
        match (failure.reason(), workspace.state()) {
            (Reason::Replaced, _) => steps.push(("watch", format!("hearth logs {id} --follow"))),
            (_, WorkspaceState::Lost) => steps.push((
                "again",
                format!("hearth up --workspace {id}  # with a fresh clone: push first what is to be kept"),
            )),
            (_, WorkspaceState::Recovery) => steps.push((
                "again",
                format!("hearth rebuild {id}  # its clone is kept; `hearth up --workspace` replaces that, too"),
            )),
            _ => steps.push(("again", format!("hearth up --workspace {id}"))),
        }
        let build = match failure.reason() {
            Reason::BuildFailed => " --build",
            _ => "",
        };
        steps.push(("log", format!("hearth logs {id}{build}")));
    }
    let push = workspace.push.as_ref().map(PushReport::outcome);
    if let Some(PushOutcome::Denied | PushOutcome::LoginFailed | PushOutcome::Failed) = push {
        steps.push(("check", format!("hearth doctor{}", repository(workspace))));
    }
    steps
}

/// What runs in RECOVERY, which decides how it can be repaired.
pub(crate) fn recovery(workspace: &Workspace) -> Option<&'static str> {
    if workspace.state() != WorkspaceState::Recovery {
        return None;
    }
    let reason = workspace.failure.as_ref().map(Failure::reason);
    let skipped = workspace.cache.as_ref().map(CacheReport::skip_reason);
    // A hook that fails before there is an image leaves nothing but the default one.
    let is_own = matches!(reason, Some(Reason::HookFailed | Reason::TimedOut))
        && skipped != Some(CacheSkipReason::Fallback);
    let spec = workspace.spec.as_ref();
    let asks_for_last_good = spec.is_some_and(|spec| spec.fallback() == Fallback::LastGood);
    Some(if is_own {
        "the project's own container"
    } else if asks_for_last_good {
        "the last good image, or without one the default image, with the clone in it; the project's own devcontainer failed"
    } else {
        "the default image with the clone in it; the project's own devcontainer failed"
    })
}

fn advice(reason: Reason, workspace: &Workspace) -> Option<String> {
    let again = match workspace.state() {
        WorkspaceState::Recovery => "rebuild the workspace, and push it when it works",
        _ => "push it, and prepare the workspace again",
    };
    let node = printable_line(&workspace.node);
    Some(match reason {
        Reason::RefNotFound => "push the ref, or ask for another one".to_owned(),
        Reason::ConfigNotFound => "ask for a configuration that the repository has".to_owned(),
        Reason::ConfigInvalid | Reason::ContainerFailed => {
            format!("mend the configuration, {again}")
        }
        Reason::BuildFailed => format!("mend what the build stumbled over, {again}"),
        Reason::HookFailed => format!("mend the hook, {again}"),
        Reason::EngineFailed => format!("check Docker on {node}, or use another node"),
        Reason::DiskFull => format!("free disk on {node}, or use another node"),
        Reason::TimedOut => "allow more time (--timeout), or see what took it".to_owned(),
        Reason::Replaced => "watch the newer attempt that took its place".to_owned(),
        Reason::AgentRestarted => {
            "prepare it again: nothing is wrong with the repository".to_owned()
        }
        Reason::NodeLost => format!("start hearth-agent on {node} again, or use another node"),
        Reason::ContainerGone => {
            format!("its container on {node} was removed: prepare the workspace again")
        }
        Reason::Internal => format!("see the logs of the control plane and of {node}'s agent"),
        // The agent's message says it.
        Reason::CloneFailed | Reason::Unspecified => return None,
    })
}

/// A command that does something else than the same again.
fn other(reason: Reason, workspace: &Workspace) -> Option<(&'static str, String)> {
    let repository = repository(workspace);
    Some(match reason {
        // Others are not tried by it.
        Reason::CloneFailed if is_http(workspace) => {
            ("check", format!("hearth doctor{repository}"))
        }
        Reason::RefNotFound => ("other", format!("hearth up{repository} --ref REF")),
        Reason::ConfigNotFound => ("other", format!("hearth up{repository} --config NAME")),
        Reason::TimedOut => ("other", format!("hearth up{repository} --timeout SECONDS")),
        Reason::EngineFailed | Reason::DiskFull | Reason::NodeLost => {
            ("nodes", "hearth nodes".to_owned())
        }
        _ => return None,
    })
}

fn is_http(workspace: &Workspace) -> bool {
    let spec = workspace.spec.as_ref();
    spec.is_some_and(|spec| {
        ["http://", "https://"]
            .iter()
            .any(|scheme| spec.repository.starts_with(scheme))
    })
}

/// The repository as an argument, with a blank in front.
fn repository(workspace: &Workspace) -> String {
    let spec = workspace.spec.as_ref();
    spec.map_or_else(String::new, |spec| {
        format!(" {}", shell_word(&printable_line(&spec.repository)))
    })
}

/// What a failure is, where its message is empty.
pub(super) fn message(failure: &Failure) -> String {
    let words = match failure.reason() {
        Reason::HookFailed => "a hook of the configuration failed",
        Reason::ContainerGone => "the container does not run any more",
        Reason::NodeLost => "the node stopped answering",
        _ => "",
    };
    match printable_line(&failure.message) {
        empty if empty.is_empty() => words.to_owned(),
        message => message,
    }
}
