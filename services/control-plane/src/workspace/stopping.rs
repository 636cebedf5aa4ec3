use std::{convert::Infallible, sync::Arc, time::Duration};

use hearth_api::v1::{AgentServiceStopWorkspaceRequest, StopCause, WorkspaceState};
use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::{KeyedTasks, Start, Tasks, contain, contract};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{deletion::heard, drivers::Drivers, journal::Journal};
use crate::{
    error::CallError,
    node::{Agents, Fleet, calls_again, within},
    record::LifeChange,
    store::Store,
};

/// Containers have a minute and a half to stop, all of a workspace's together.
const STOP: Duration = Duration::from_secs(120);

/// The result of a stop; `None` while it goes on.
type Outcome = watch::Receiver<Option<Result<(), Arc<CallError>>>>;

/// Stops that go on, one of a workspace at a time: a second request joins it. One that is interrupted leaves the workspace
/// STOPPING, and is made again.
pub(crate) struct Stops {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    drivers: Arc<Drivers>,
    fleet: Arc<Fleet>,
    agents: Arc<Agents>,
    running: KeyedTasks<WorkspaceId, Outcome>,
}

impl Stops {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        journal: Arc<Journal>,
        drivers: Arc<Drivers>,
        fleet: Arc<Fleet>,
        agents: Arc<Agents>,
        tasks: Tasks,
    ) -> Self {
        Self {
            store,
            journal,
            drivers,
            fleet,
            agents,
            running: KeyedTasks::new(tasks, "stop workspace", 0),
        }
    }

    /// Stops a workspace and waits for the result. A cancelled call does not end it.
    pub(crate) async fn stop(
        self: &Arc<Self>,
        id: &WorkspaceId,
        cause: StopCause,
    ) -> Result<(), Arc<CallError>> {
        result(self.start(id, cause)).await
    }

    /// Waits until a stop of the workspace that goes on has ended, whatever comes of it.
    pub(super) async fn ended(&self, id: &WorkspaceId) {
        if let Some(outcome) = self.running.get(id) {
            // Its caller hears of a failure.
            let _ = result(outcome).await;
        }
    }

    /// Stops a workspace in the background.
    pub(super) fn start(self: &Arc<Self>, id: &WorkspaceId, cause: StopCause) -> Outcome {
        let (done, outcome) = watch::channel(None);
        let (stops, of) = (self.clone(), id.clone());
        let run = async move |_, stop: CancellationToken| {
            let work = contain("stop workspace", stops.run(&of, cause));
            let result = tokio::select! {
                () = stop.cancelled() => Err(CallError::ShuttingDown),
                result = work => result.unwrap_or_else(|panicked| Err(panicked.into())),
            };
            done.send_replace(Some(result.map_err(Arc::new)));
        };
        let join_if_it_runs = |known: &Outcome| {
            Ok::<_, Infallible>(match *known.borrow() {
                None => Start::Join,
                Some(_) => Start::Replace,
            })
        };
        let Ok(outcome) = self
            .running
            .start(id.clone(), outcome, join_if_it_runs, run);
        outcome
    }

    async fn run(&self, id: &WorkspaceId, cause: StopCause) -> Result<(), CallError> {
        let record = self.store.workspace(id).await?;
        let record = record.ok_or_else(|| CallError::WorkspaceUnknown(id.clone()))?;
        if record.workspace.state() == WorkspaceState::Stopped {
            return Ok(());
        }
        let node = record.workspace.node.clone();
        if heard(&self.fleet, &node).is_none() {
            // Nothing has changed.
            return Err(CallError::NodeLost(node));
        }
        let record = self
            .journal
            .live(id, None, LifeChange::BeginStop(cause))
            .await?;
        if record.workspace.state() != WorkspaceState::Stopping {
            return Ok(());
        }
        if record.progress.start && record.workspace.settled {
            // It may just be calling the agent.
            self.drivers.stop(id).await;
        }
        let attempt = record.attempt();
        self.ask(&node, &attempt, record.progress.start).await?;
        // A list of the containers that run may be on its way.
        self.fleet.prepares(&node, id);
        let change = LifeChange::Stopped;
        self.journal.live(id, Some(attempt.number), change).await?;
        tracing::info!(workspace.id = %id, ?cause, "workspace stopped");
        Ok(())
    }

    /// Has the agent stop it. One that is away is asked again until its node is lost.
    async fn ask(&self, node: &str, attempt: &AttemptRef, start: bool) -> Result<(), CallError> {
        let request = AgentServiceStopWorkspaceRequest {
            attempt: Some(contract::attempt_message(attempt)),
            start,
        };
        let deadline = Instant::now() + STOP;
        let mut pauses = calls_again();
        loop {
            if heard(&self.fleet, node).is_none() {
                return Err(CallError::NodeLost(node.to_owned()));
            }
            let limit = deadline.saturating_duration_since(Instant::now());
            let asked = within(limit, async {
                let mut client = self.agents.client(node).await?;
                client.stop_workspace(request.clone()).await
            });
            let Err(status) = asked.await else {
                return Ok(());
            };
            let pause = pauses.next().unwrap_or_default();
            let is_away = matches!(
                status.code(),
                Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
            );
            if !is_away || Instant::now() + pause >= deadline {
                return Err(CallError::AgentFailed {
                    node: node.to_owned(),
                    why: status.message().to_owned(),
                });
            }
            tokio::time::sleep(pause).await;
        }
    }
}

async fn result(mut outcome: Outcome) -> Result<(), Arc<CallError>> {
    match outcome.wait_for(Option::is_some).await {
        Ok(result) => result.clone().unwrap_or(Ok(())),
        Err(_) => Err(Arc::new(CallError::ShuttingDown)),
    }
}
