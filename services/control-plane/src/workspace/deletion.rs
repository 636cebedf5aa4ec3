use std::{collections::HashMap, sync::Arc, time::Duration};

use hearth_api::v1::RemoveWorkspaceRequest;
use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{drivers::Drivers, journal::Journal};
use crate::{
    error::CallError,
    node::{Agents, Fleet, NodeView, Standing, within},
    store::Store,
};

/// Containers get time to stop, and volumes may be large.
pub(super) const REMOVE: Duration = Duration::from_secs(120);
/// Who asks for force does not want to wait for a node that hangs.
const REMOVE_BY_FORCE: Duration = Duration::from_secs(30);

type Outcome = watch::Receiver<Option<Result<(), Arc<CallError>>>>;

/// Deletions that are under way. Whoever asks for one that runs already waits for that one.
pub(crate) struct Deletions {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    drivers: Arc<Drivers>,
    fleet: Arc<Fleet>,
    agents: Arc<Agents>,
    tasks: Tasks,
    running: Mutex<HashMap<(WorkspaceId, bool), Outcome>>,
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
            tasks,
            running: Mutex::default(),
        }
    }

    /// Deletes a workspace and waits until that is done or has failed. A caller that goes away stops nothing.
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
        let key = (id.clone(), force);
        let mut running = self.running.lock();
        if let Some(outcome) = running.get(&key) {
            return outcome.clone();
        }
        let (done, outcome) = watch::channel(None);
        running.insert(key.clone(), outcome.clone());
        drop(running);
        let deletions = self.clone();
        self.tasks.spawn("delete workspace", async move {
            let result = tokio::select! {
                () = deletions.tasks.stopping().cancelled() => Err(CallError::ShuttingDown),
                result = deletions.run(&key.0, force) => result,
            };
            deletions.running.lock().remove(&key);
            done.send_replace(Some(result.map_err(Arc::new)));
        });
        outcome
    }

    async fn run(&self, id: &WorkspaceId, force: bool) -> Result<(), CallError> {
        let Some(record) = self.store.workspace(id).await? else {
            return Err(CallError::WorkspaceUnknown(id.clone()));
        };
        let node = self
            .fleet
            .get(&record.workspace.node)
            .filter(|node| node.standing == Standing::Online);
        if node.is_none() && !force {
            // Nothing was changed: the workspace may still be of use when its node comes back.
            return Err(CallError::NodeLost(record.workspace.node));
        }
        self.journal.begin_delete(id).await?;
        self.drivers.stop(id).await;
        if let Some(node) = node {
            let limit = if force { REMOVE_BY_FORCE } else { REMOVE };
            match remove(&self.agents, &node, id, limit).await {
                Err(error) if !force => return Err(error),
                Err(error) => tracing::warn!(
                    workspace.id = %id,
                    node = node.name,
                    %error,
                    "forgotten by force; container and volume may still be there"
                ),
                Ok(()) => {}
            }
        }
        self.journal.forget(id).await?;
        tracing::info!(workspace.id = %id, force, "workspace deleted");
        Ok(())
    }
}

pub(super) async fn remove(
    agents: &Agents,
    node: &NodeView,
    id: &WorkspaceId,
    limit: Duration,
) -> Result<(), CallError> {
    let request = RemoveWorkspaceRequest {
        workspace_id: id.to_string(),
    };
    let call = async {
        let mut client = agents.client(&node.name, &node.info.endpoint)?;
        within(limit, client.remove_workspace(request)).await
    };
    match call.await {
        Ok(_) => Ok(()),
        Err(status) => Err(CallError::AgentFailed {
            node: node.name.clone(),
            why: status.message().to_owned(),
        }),
    }
}
