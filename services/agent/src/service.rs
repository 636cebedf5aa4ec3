use std::sync::Arc;

use futures_util::{Stream, stream::BoxStream};
use hearth_api::v1::{
    RemoveWorkspaceRequest, RemoveWorkspaceResponse, StartAttemptRequest, StartAttemptResponse,
    WatchAttemptRequest, WatchAttemptResponse, agent_service_server::AgentService,
};
use hearth_runtime::{FieldFaults, Reason, Tasks, status};
use tonic::{Request, Response, Status};

use crate::{
    attempt::{AttemptError, AttemptLog, Attempts},
    pipeline::{Job, Runner, is_workspace_id},
};

/// `hearth.v1.AgentService`: the contract says what each call does.
pub struct Agent {
    /// All attempts of the node.
    pub attempts: Attempts,
    /// Runs them.
    pub runner: Arc<Runner>,
    /// The owner of all tasks.
    pub tasks: Tasks,
}

#[tonic::async_trait]
impl AgentService for Agent {
    type PrepareWorkspaceStream =
        BoxStream<'static, Result<hearth_api::v1::AgentServicePrepareWorkspaceResponse, Status>>;

    async fn prepare_workspace(
        &self,
        _: Request<hearth_api::v1::AgentServicePrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        Err(Status::unimplemented(
            "StartAttempt and WatchAttempt are served",
        ))
    }

    async fn start_attempt(
        &self,
        request: Request<StartAttemptRequest>,
    ) -> Result<Response<StartAttemptResponse>, Status> {
        let job = Job::from_request(request.into_inner())?;
        let (workspace_id, attempt) = (job.attempt.workspace_id.clone(), job.attempt.attempt);
        let runner = self.runner.clone();
        let shutdown = self.tasks.stopping().clone();
        self.attempts
            .start(&workspace_id, attempt, move |log, stop| async move {
                runner.run(&job, log, &stop, &shutdown).await;
            })
            .map_err(refuse)?;
        Ok(Response::new(StartAttemptResponse {}))
    }

    type WatchAttemptStream = BoxStream<'static, Result<WatchAttemptResponse, Status>>;

    async fn watch_attempt(
        &self,
        request: Request<WatchAttemptRequest>,
    ) -> Result<Response<Self::WatchAttemptStream>, Status> {
        let request = request.into_inner();
        let attempt = request.attempt.unwrap_or_default();
        let log = self
            .attempts
            .log(&attempt.workspace_id, attempt.attempt)
            .map_err(refuse)?;
        Ok(Response::new(Box::pin(follow(log, request.after_sequence))))
    }

    async fn remove_workspace(
        &self,
        request: Request<RemoveWorkspaceRequest>,
    ) -> Result<Response<RemoveWorkspaceResponse>, Status> {
        let workspace_id = request.into_inner().workspace_id;
        if !is_workspace_id(&workspace_id) {
            let mut faults = FieldFaults::default();
            faults.add(
                "workspace_id",
                "must be 1 to 63 lower-case letters, digits and dashes",
            );
            faults.into_result()?;
        }
        let remove = async {
            let removed = self
                .runner
                .externals
                .engine
                .remove_workspace(&workspace_id)
                .await;
            if let Err(error) = self.runner.git_access.close(&workspace_id) {
                tracing::warn!(workspace.id = workspace_id, %error, "a folder of the workspace stays behind");
            }
            removed
        };
        self.attempts
            .remove(&workspace_id, remove)
            .await
            .map_err(|error| status(Reason::EngineFailed, error.to_string()))?;
        self.runner.node.disk.wake();
        Ok(Response::new(RemoveWorkspaceResponse {}))
    }
}

/// Events after `after`, as they come, until the last one.
fn follow(
    log: Arc<AttemptLog>,
    after: u64,
) -> impl Stream<Item = Result<WatchAttemptResponse, Status>> {
    struct Reader {
        log: Arc<AttemptLog>,
        changes: tokio::sync::watch::Receiver<u64>,
        after: u64,
        lines_seen: Option<u64>,
        complete: bool,
    }
    let reader = Reader {
        changes: log.changes(),
        log,
        after,
        lines_seen: None,
        complete: false,
    };
    let batches = futures_util::stream::unfold(reader, |mut reader| async move {
        if reader.complete {
            return None;
        }
        loop {
            reader.changes.mark_unchanged();
            let batch = reader.log.after(reader.after, reader.lines_seen);
            reader.complete = batch.complete;
            if let Some(last) = batch.events.last() {
                reader.after = last.sequence;
                reader.lines_seen = batch.lines_seen;
                return Some((batch.events, reader));
            }
            // The log belongs to this reader too: the sender lives as long as it waits.
            if reader.complete || reader.changes.changed().await.is_err() {
                return None;
            }
        }
    });
    futures_util::StreamExt::flat_map(batches, |events| {
        futures_util::stream::iter(
            events
                .into_iter()
                .map(|event| Ok(WatchAttemptResponse { event: Some(event) })),
        )
    })
}

fn refuse(error: AttemptError) -> Status {
    let reason = match error {
        AttemptError::Outdated { .. } => Reason::AttemptOutdated,
        AttemptError::Unknown => Reason::AttemptUnknown,
        AttemptError::ShuttingDown => Reason::ShuttingDown,
    };
    status(reason, error.to_string())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use hearth_api::v1::{Cloned, Settled, event::Kind};

    use super::*;

    #[tokio::test]
    async fn a_watcher_gets_what_was_and_what_comes_and_the_stream_ends_with_the_attempt() {
        let log = Arc::new(AttemptLog::new(1));
        log.append(Kind::Cloned(Cloned::default()));
        let mut stream = std::pin::pin!(follow(log.clone(), 0));
        let sequence = |item: Option<Result<WatchAttemptResponse, Status>>| {
            item.map(|response| response.unwrap().event.unwrap().sequence)
        };
        assert_eq!(sequence(stream.next().await), Some(1));
        let (next, ()) = tokio::join!(stream.next(), async {
            tokio::task::yield_now().await;
            log.append(Kind::Settled(Settled {}));
        });
        assert_eq!(sequence(next), Some(2));
        assert_eq!(sequence(stream.next().await), None);
        let again: Vec<_> = follow(log, 1).collect().await;
        assert_eq!(again.len(), 1);
    }
}
