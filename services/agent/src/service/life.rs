//! What happens to workspaces after they were prepared: they are stopped, and asked about.

use std::{convert::Infallible, sync::Arc};

use hearth_api::v1::{ContainerEnded, GetContainerResponse};
use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::{KeyedTasks, Reason, Start, contain, status};
use tokio::sync::watch;
use tonic::Status;

use super::{Agent, refuse};
use crate::{
    attempt::{AttemptError, AttemptLog, without_escapes},
    external::engine::{EngineFailure, KnownContainer},
    pipeline::Runner,
};

/// Most bytes of a container's last output.
const MAX_TAIL: usize = 8 * 1024;

/// The stops of workspaces that go on, by their results; `None` while one goes on.
pub type Stops = KeyedTasks<WorkspaceId, watch::Receiver<Option<Result<(), String>>>>;

impl Agent {
    /// Stops the containers of a workspace whose newest attempt this is. That goes on when the call is dropped.
    pub(super) async fn stop(&self, attempt: AttemptRef, is_start: bool) -> Result<(), Status> {
        let newest = self.owners.newest(&attempt.workspace);
        if newest > attempt.number {
            return Err(refuse(AttemptError::Outdated { newest }));
        }
        let log = match self.attempts.log(&attempt) {
            Ok(log) => Some(log),
            // From before a restart of this agent.
            Err(AttemptError::Unknown) => None,
            Err(error) => return Err(refuse(error)),
        };
        if log.as_ref().is_some_and(|log| log.is_preparing()) && !is_start {
            let why = "the attempt still prepares the workspace";
            return Err(status(Reason::WorkspaceNotReady, why));
        }
        let (done, outcome) = watch::channel(None);
        let (attempts, runner) = (self.attempts.clone(), self.runner.clone());
        let of = attempt.clone();
        // It is not ended half done: a container that is still stopped could not be started.
        let run = async move |_, _| {
            let work = async {
                if let Some(log) = log.filter(|log| log.is_preparing()) {
                    attempts.end(&of);
                    until_settled(&log).await;
                }
                stop_containers(&runner, &of.workspace).await
            };
            let result = match contain("stop workspace", work).await {
                Ok(stopped) => stopped.map_err(|error| error.to_string()),
                Err(panicked) => Err(panicked.to_string()),
            };
            done.send_replace(Some(result));
        };
        let join_if_it_runs = |known: &watch::Receiver<Option<Result<(), String>>>| {
            Ok::<_, Infallible>(match *known.borrow() {
                None => Start::Join,
                Some(_) => Start::Replace,
            })
        };
        let Ok(mut outcome) = self
            .stops
            .start(attempt.workspace, outcome, join_if_it_runs, run);
        let ended = outcome.wait_for(Option::is_some).await;
        let result = ended.map_or(None, |result| result.clone());
        match result {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(status(Reason::EngineFailed, why)),
            None => Err(status(Reason::ShuttingDown, "the agent is shutting down")),
        }
    }

    pub(super) async fn container(
        &self,
        workspace: &WorkspaceId,
        container: String,
    ) -> Result<GetContainerResponse, Status> {
        let engine = &self.runner.externals.engine;
        let known = engine.container(workspace, &container).await;
        let known = known.map_err(|error| status(Reason::EngineFailed, error.to_string()))?;
        let ended = match known {
            Some(KnownContainer { running: true, .. }) => {
                return Ok(GetContainerResponse {
                    running: true,
                    ended: None,
                });
            }
            Some(known) => ContainerEnded {
                exit_code: known.exit_code,
                out_of_memory: known.out_of_memory,
                finish_time: known.finished,
                output_tail: tail(&known.output_tail),
                container_id: container,
                removed: false,
            },
            None => ContainerEnded {
                container_id: container,
                removed: true,
                ..ContainerEnded::default()
            },
        };
        Ok(GetContainerResponse {
            running: false,
            ended: Some(ended),
        })
    }
}

async fn until_settled(log: &Arc<AttemptLog>) {
    let mut changes = log.changes();
    while !log.is_settled() {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn stop_containers(runner: &Runner, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
    // A hook that its container is taken away from has not failed.
    runner.halts.halt(workspace);
    let mut problem = runner.node.engine.problem();
    tokio::select! {
        stopped = runner.externals.engine.stop_workspace(workspace) => stopped,
        // Nobody waits for an engine that does not answer.
        Ok(problem) = problem.wait_for(Option::is_some) => Err(EngineFailure {
            action: "stop the workspace's containers",
            cause: problem.as_deref().unwrap_or_default().to_owned(),
        }),
    }
}

/// Its last lines, as they may be shown.
fn tail(output: &str) -> String {
    let lines: Vec<_> = output.lines().map(without_escapes).collect();
    let text = lines.join("\n");
    let start = text.len().saturating_sub(MAX_TAIL);
    text[text.ceil_char_boundary(start)..].to_owned()
}
