use std::path::Path;

use hearth_api::v1::{
    Failure, FailureReason, PipelineStep, PushOutcome, WorkspaceState, event::Kind,
};
use tokio_util::sync::CancellationToken;

use super::{Context, Job, NodeFacts, Ready, Scratch, failure, prepare, push};
use crate::{attempt::Recorder, parties::Parties, sweep};

/// Runs an attempt to its end, whatever that is: prepares, tells, pushes, cleans up.
///
/// `stop` ends it early: a newer attempt, a deletion, or (when `shutdown` is cancelled too) the agent's own end.
pub async fn run(
    job: &Job,
    node: &NodeFacts,
    parties: &Parties,
    recorder: &Recorder,
    attempts_dir: &Path,
    stop: &CancellationToken,
    shutdown: &CancellationToken,
) {
    recorder.state(WorkspaceState::Preparing, None);
    match Scratch::create(attempts_dir, &job.attempt, job.registry_login.as_ref()) {
        Ok(scratch) => {
            let cx = Context {
                job,
                node,
                parties,
                recorder,
                scratch: &scratch,
            };
            run_in(&cx, stop, shutdown).await;
        }
        Err(error) => {
            let message = format!("no folder can be made for the attempt: {error}");
            let failure = failure(FailureReason::Internal, PipelineStep::Unspecified, message);
            recorder.state(WorkspaceState::Failed, Some(failure));
        }
    }
    recorder.settle();
}

async fn run_in(cx: &Context<'_>, stop: &CancellationToken, shutdown: &CancellationToken) {
    let prepared = tokio::select! {
        biased;
        () = stop.cancelled() => Err(stopped(shutdown)),
        prepared = tokio::time::timeout(cx.job.time_limit, prepare(cx)) => {
            prepared.unwrap_or_else(|_| Err(timed_out(cx.job)))
        }
    };
    match prepared {
        Ok(Ready {
            state,
            failure,
            push: plan,
        }) => {
            if let Err(error) = sweep::mark_ready(cx.scratch.path()) {
                cx.recorder.warn(format!(
                    "the workspace would not survive a crash of the agent: {error}"
                ));
            }
            cx.recorder.state(state, failure);
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    cx.recorder.note(Kind::Push(push::report(
                        PushOutcome::Interrupted,
                        stopped(shutdown).message,
                    )));
                }
                () = push::carry_out(cx, plan) => {}
            }
        }
        Err(failure) => {
            // A workspace that failed leaves nothing on the node; its log stays.
            let removed = cx
                .parties
                .engine
                .remove_workspace(&cx.job.attempt.workspace_id)
                .await;
            if let Err(error) = removed {
                cx.recorder.warn(error.to_string());
            }
            tracing::info!(
                workspace.id = cx.job.attempt.workspace_id,
                attempt = cx.job.attempt.attempt,
                reason = failure.reason().as_str_name(),
                "attempt failed: {}",
                failure.message
            );
            cx.recorder.state(WorkspaceState::Failed, Some(failure));
        }
    }
}

fn stopped(shutdown: &CancellationToken) -> Failure {
    let (reason, message) = if shutdown.is_cancelled() {
        (FailureReason::AgentRestarted, "the agent was stopped")
    } else {
        (
            FailureReason::Replaced,
            "a newer attempt or a deletion took its place",
        )
    };
    failure(reason, PipelineStep::Unspecified, message)
}

fn timed_out(job: &Job) -> Failure {
    let message = format!("it was not ready within {} s", job.time_limit.as_secs());
    failure(FailureReason::TimedOut, PipelineStep::Unspecified, message)
}
