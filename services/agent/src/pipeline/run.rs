use std::path::PathBuf;

use hearth_api::v1::{
    CredentialUse, Failure, FailureReason, PipelineStep, PushOutcome, WorkspaceState, event::Kind,
};
use tokio_util::sync::CancellationToken;

use super::{Context, Job, NodeFacts, Ready, Scratch, failure, prepare, push};
use crate::{
    attempt::Recorder,
    credentials::{Asker, GitAccess, Logins, serve},
    parties::Parties,
    sweep,
};

/// Where attempts keep on the node what is theirs.
#[derive(Clone)]
pub struct Places {
    /// Folders of attempts.
    pub attempts: PathBuf,
    /// Folders of workspaces.
    pub git_access: GitAccess,
}

/// Runs an attempt to its end, whatever that is: prepares, tells, pushes, cleans up.
///
/// `stop` ends it early: a newer attempt, a deletion, or (when `shutdown` is cancelled too) the agent's own end.
pub async fn run(
    job: &Job,
    node: &NodeFacts,
    parties: &Parties,
    recorder: &Recorder,
    places: &Places,
    stop: &CancellationToken,
    shutdown: &CancellationToken,
) {
    recorder.state(WorkspaceState::Preparing, None);
    match Scratch::create(&places.attempts, &job.attempt, job.registry()) {
        Ok(scratch) => {
            let logins = logins(job, parties, recorder);
            let git_access = git_access(job, places, recorder);
            let cx = Context {
                job,
                node,
                parties,
                recorder,
                scratch: &scratch,
                logins: &logins,
                git_access: git_access.as_deref(),
            };
            let work = run_in(&cx, &places.git_access, stop, shutdown);
            match scratch.open_socket() {
                Ok(socket) => tokio::select! {
                    () = work => {}
                    () = serve(socket, Asker::Docker, logins.clone()) => {}
                },
                Err(error) => {
                    recorder.warn(format!("docker gets no login for the registry: {error}"));
                    work.await;
                }
            }
        }
        Err(error) => {
            let message = format!("no folder can be made for the attempt: {error}");
            let failure = failure(FailureReason::Internal, PipelineStep::Unspecified, message);
            recorder.state(WorkspaceState::Failed, Some(failure));
        }
    }
    recorder.settle();
}

fn logins(job: &Job, parties: &Parties, recorder: &Recorder) -> Logins {
    let recorder = recorder.clone();
    Logins::new(
        parties.credentials.clone(),
        job.attempt.clone(),
        CredentialUse::Attempt,
        move |why| recorder.warn(why),
    )
}

/// A workspace whose git cannot log in is better than none.
fn git_access(job: &Job, places: &Places, recorder: &Recorder) -> Option<PathBuf> {
    places
        .git_access
        .open(&job.attempt, &job.repository)
        .unwrap_or_else(|error| {
            recorder.warn(format!("git in the workspace gets no login: {error}"));
            None
        })
}

async fn run_in(
    cx: &Context<'_>,
    git_access: &GitAccess,
    stop: &CancellationToken,
    shutdown: &CancellationToken,
) {
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
            if let Err(error) = git_access.close(&cx.job.attempt.workspace_id) {
                cx.recorder
                    .warn(format!("a folder of the workspace stays behind: {error}"));
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
