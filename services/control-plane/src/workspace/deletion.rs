use std::{convert::Infallible, error::Error as _, sync::Arc, time::Duration};

use hearth_api::v1::RemoveWorkspaceRequest;
use hearth_domain::WorkspaceId;
use hearth_runtime::{KeyedTasks, Start, Tasks, contain};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{drivers::Drivers, journal::Journal};
use crate::{
    error::CallError,
    node::{Agents, Fleet, NodeView, calls_again, within},
    store::{Store, StoreError},
};

/// Containers need time to stop, and volumes may be large.
const REMOVE: Duration = Duration::from_secs(120);
/// A forced deletion does not wait long for a node that hangs.
const REMOVE_BY_FORCE: Duration = Duration::from_secs(30);

/// The result of a deletion; `None` while it runs.
type Outcome = watch::Receiver<Option<Result<(), Arc<CallError>>>>;

/// Running deletions. A second request for the same one joins it.
pub(crate) struct Deletions {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    drivers: Arc<Drivers>,
    fleet: Arc<Fleet>,
    agents: Arc<Agents>,
    running: KeyedTasks<(WorkspaceId, bool), Outcome>,
}

impl Deletions {
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
            running: KeyedTasks::new(tasks, "delete workspace", 0),
        }
    }

    /// Deletes a workspace and waits for the result. A cancelled call does not stop the deletion.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        id: &WorkspaceId,
        force: bool,
    ) -> Result<(), Arc<CallError>> {
        let mut outcome = self.start(id, force);
        match outcome.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(Arc::new(CallError::ShuttingDown)),
        }
    }

    /// Deletes a workspace in the background.
    pub(super) fn start(self: &Arc<Self>, id: &WorkspaceId, force: bool) -> Outcome {
        let (done, outcome) = watch::channel(None);
        let (deletions, of) = (self.clone(), id.clone());
        let run = async move |_, stop: CancellationToken| {
            let work = contain("delete workspace", deletions.run(&of, force));
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
        let key = (id.clone(), force);
        let Ok(outcome) = self.running.start(key, outcome, join_if_it_runs, run);
        outcome
    }

    async fn run(&self, id: &WorkspaceId, force: bool) -> Result<(), CallError> {
        let Some(name) = self.store.node_of(id).await? else {
            return Err(CallError::WorkspaceUnknown(id.clone()));
        };
        let node = heard(&self.fleet, &name);
        if node.is_none() && !force {
            // Nothing has changed: the workspace can be used when its node comes back.
            return Err(CallError::NodeOfWorkspaceGone(name));
        }
        match self.journal.begin_delete(id).await {
            // Nobody follows it either.
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(workspace.id = %id, %error, "deleted without its end");
            }
            begun => drop(begun?),
        }
        self.drivers.stop(id).await;
        if !force {
            remove(&self.fleet, &self.agents, &name, &whole(id)).await?;
        } else {
            let asked = match &node {
                Some(node) => ask(&self.agents, node, whole(id), REMOVE_BY_FORCE).await,
                None => Err(Status::unavailable("its node does not answer")),
            };
            if let Err(status) = asked {
                tracing::warn!(
                    workspace.id = %id,
                    node = name,
                    "deleted by force; its container and volume may still exist until the node registers again: {}",
                    status.message()
                );
                self.store.owe_removal(id, &name).await?;
            }
        }
        self.journal.forget(id).await?;
        tracing::info!(workspace.id = %id, force, "workspace deleted");
        Ok(())
    }
}

/// Everything of a workspace.
pub(super) fn whole(id: &WorkspaceId) -> RemoveWorkspaceRequest {
    RemoveWorkspaceRequest {
        workspace_id: id.to_string(),
        attempt: 0,
    }
}

/// Has the agent of a node remove a workspace. One that is away, as while it is restarted, is asked again, until
/// its node is lost.
pub(super) async fn remove(
    fleet: &Fleet,
    agents: &Agents,
    name: &str,
    what: &RemoveWorkspaceRequest,
) -> Result<(), CallError> {
    let deadline = Instant::now() + REMOVE;
    let mut pauses = calls_again();
    loop {
        let Some(node) = heard(fleet, name) else {
            return Err(CallError::NodeOfWorkspaceGone(name.to_owned()));
        };
        let limit = deadline.saturating_duration_since(Instant::now());
        let Err(status) = ask(agents, &node, what.clone(), limit).await else {
            return Ok(());
        };
        let pause = pauses.next().unwrap_or_default();
        // The answer of an agent has no source; it is the same a moment later.
        if status.source().is_none() || Instant::now() + pause >= deadline {
            return Err(CallError::AgentFailed {
                node: node.name,
                why: status.message().to_owned(),
            });
        }
        tokio::time::sleep(pause).await;
    }
}

async fn ask(
    agents: &Agents,
    node: &NodeView,
    request: RemoveWorkspaceRequest,
    limit: Duration,
) -> Result<(), Status> {
    let mut client = agents.client(&node.name).await?;
    within(limit, client.remove_workspace(request)).await?;
    Ok(())
}

/// A node whose agent sends heartbeats.
pub(super) fn heard(fleet: &Fleet, name: &str) -> Option<NodeView> {
    let node = fleet.get(name)?;
    node.standing.is_there().then_some(node)
}

#[cfg(test)]
#[path = "panic_tests.rs"]
mod tests;
