//! What is read of workspaces that failed, and of pushes that did.

use super::*;

pub(super) fn failures() -> Vec<Case> {
    use PipelineStep as Step;
    vec![
        shown(
            "clone-failed",
            failed(
                Reason::CloneFailed,
                Step::Clone,
                "the repository https://git.example/team/sample is not found, or may not be read",
            ),
        ),
        shown(
            "ref-not-found",
            failed(
                Reason::RefNotFound,
                Step::Clone,
                "there is no branch, tag or commit `x`",
            ),
        ),
        shown(
            "config-not-found",
            failed(
                Reason::ConfigNotFound,
                Step::Key,
                "there is no configuration `x`; there are: cpu, gpu",
            ),
        ),
        shown(
            "config-invalid",
            fallback(
                Reason::ConfigInvalid,
                Step::Key,
                ".devcontainer/devcontainer.json, line 3: a comma is missing",
                "",
            ),
        ),
        shown(
            "build-failed",
            fallback(
                Reason::BuildFailed,
                Step::Image,
                "[2/3] RUN make: exit code 2",
                "make: *** No rule to make target `all`.  Stop.\n",
            ),
        ),
        shown(
            "container-failed",
            fallback(
                Reason::ContainerFailed,
                Step::Container,
                "the engine refuses the container: unknown runtime `nvidia`",
                "",
            ),
        ),
        shown(
            "hook-failed",
            spoilt(
                State::Recovery,
                Reason::HookFailed,
                Step::Container,
                "postCreateCommand failed with exit code 1: npm: not found",
            ),
        ),
        shown(
            "hook-failed-without-words",
            spoilt(State::Recovery, Reason::HookFailed, Step::Hooks, ""),
        ),
        shown(
            "engine-failed",
            failed(
                Reason::EngineFailed,
                Step::Validate,
                "Docker does not answer",
            ),
        ),
        shown(
            "disk-full",
            failed(
                Reason::DiskFull,
                Step::Validate,
                "1.2 GB are free, and 5 GB are needed",
            ),
        ),
        shown(
            "timed-out",
            failed(
                Reason::TimedOut,
                Step::Image,
                "it was not ready within 1800 s: hearth still builds the image",
            ),
        ),
        shown(
            "replaced",
            failed(
                Reason::Replaced,
                Step::Unspecified,
                "a newer attempt took its place",
            ),
        ),
        shown(
            "agent-restarted",
            failed(
                Reason::AgentRestarted,
                Step::Unspecified,
                "the agent of node-1 was restarted",
            ),
        ),
        shown(
            "node-lost",
            spoilt(
                State::Lost,
                Reason::NodeLost,
                Step::Unspecified,
                "node-1 does not answer",
            ),
        ),
        shown(
            "container-gone",
            spoilt(
                State::Lost,
                Reason::ContainerGone,
                Step::Unspecified,
                "its container does not run any more",
            ),
        ),
        shown(
            "internal",
            failed(
                Reason::Internal,
                Step::Key,
                "a bug of hearth; the agent's log has details",
            ),
        ),
    ]
}

pub(super) fn pushes() -> Vec<Case> {
    [
        (
            PushOutcome::Denied,
            "the registry refuses the push: grant packages:write",
        ),
        (
            PushOutcome::LoginFailed,
            "the registry does not accept the login",
        ),
        (PushOutcome::TimedOut, "it did not end within 600 s"),
        (PushOutcome::Interrupted, "the agent was stopped"),
        (
            PushOutcome::Failed,
            "the registry answered with 507: no space left",
        ),
        (
            PushOutcome::SkippedReadOnly,
            "this attempt may only read the cache",
        ),
        (
            PushOutcome::SkippedNotEligible,
            "Docker Compose projects are not cached",
        ),
        (PushOutcome::SkippedOff, "the cache is off"),
        (
            PushOutcome::SkippedNoKey,
            "there is no cache key: the build argument X cannot be part of one",
        ),
    ]
    .map(|(outcome, message)| {
        let name = outcome.as_str_name().to_lowercase().replace('_', "-");
        let workspace = Workspace {
            settled: true,
            push: Some(PushReport {
                outcome: outcome.into(),
                message: message.into(),
                ..PushReport::default()
            }),
            ..workspace(State::Ready, 9)
        };
        shown(&name.replace("push-outcome", "push"), workspace)
    })
    .into()
}
