use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hearth_api::v1::{RemoveWorkspaceRequest, WorkspaceState};
use tokio::sync::watch;

use crate::{
    agents::within,
    core::Core,
    drivers::Drivers,
    error::CallError,
    fleet::{NodeView, Standing},
    record::Record,
    store::StoreError,
};

/// Containers get time to stop, and volumes may be large.
const REMOVE: Duration = Duration::from_secs(120);
/// Who asks for force does not want to wait for a node that hangs.
const REMOVE_BY_FORCE: Duration = Duration::from_secs(30);

type Outcome = watch::Receiver<Option<Result<(), Arc<CallError>>>>;

/// Deletions that are under way. Whoever asks for one that runs already waits for that one.
#[derive(Debug, Default)]
pub(crate) struct Deletions(Mutex<HashMap<(String, bool), Outcome>>);

impl Deletions {
    /// Deletes a workspace and waits until that is done or has failed. A caller that goes away stops nothing.
    pub(crate) async fn delete(
        core: &Arc<Core>,
        id: &str,
        force: bool,
    ) -> Result<(), Arc<CallError>> {
        let mut outcome = Self::start(core, id, force);
        match outcome.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(Arc::new(CallError::ShuttingDown)),
        }
    }

    /// Deletes a workspace in the background.
    pub(crate) fn start(core: &Arc<Core>, id: &str, force: bool) -> Outcome {
        let key = (id.to_owned(), force);
        let mut running = core.deletions.lock();
        if let Some(outcome) = running.get(&key) {
            return outcome.clone();
        }
        let (done, outcome) = watch::channel(None);
        running.insert(key.clone(), outcome.clone());
        drop(running);
        let core = core.clone();
        core.clone().tasks.spawn("delete workspace", async move {
            let result = tokio::select! {
                () = core.tasks.stopping().cancelled() => Err(CallError::ShuttingDown),
                result = delete(&core, &key.0, force) => result,
            };
            core.deletions.lock().remove(&key);
            done.send_replace(Some(result.map_err(Arc::new)));
        });
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, bool), Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn delete(core: &Arc<Core>, id: &str, force: bool) -> Result<(), CallError> {
    let Some(record) = core.store.workspace(id).await? else {
        return Err(CallError::WorkspaceUnknown(id.to_owned()));
    };
    let node = core
        .fleet
        .get(&record.workspace.node)
        .filter(|node| node.standing == Standing::Online);
    if node.is_none() && !force {
        // Nothing was changed: the workspace may still be of use when its node comes back.
        return Err(CallError::NodeLost(record.workspace.node));
    }
    core.journal.begin_delete(id).await?;
    core.drivers.stop(id).await;
    if let Some(node) = node {
        let limit = if force { REMOVE_BY_FORCE } else { REMOVE };
        match remove(core, &node, id, limit).await {
            Err(error) if !force => return Err(error),
            Err(error) => tracing::warn!(
                workspace.id = id,
                node = node.name,
                %error,
                "forgotten by force; container and volume may still be there"
            ),
            Ok(()) => {}
        }
    }
    core.journal.forget(id).await?;
    tracing::info!(workspace.id = id, force, "workspace deleted");
    Ok(())
}

async fn remove(core: &Core, node: &NodeView, id: &str, limit: Duration) -> Result<(), CallError> {
    let request = RemoveWorkspaceRequest {
        workspace_id: id.to_owned(),
    };
    let call = async {
        let mut client = core.agents.client(&node.name, &node.info.endpoint)?;
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

/// Takes up what a restart interrupted: attempts are driven on, deletions are finished.
pub(crate) async fn resume(core: &Arc<Core>) -> Result<usize, StoreError> {
    let unfinished = core.store.unfinished().await?;
    for record in &unfinished {
        let id = &record.workspace.id;
        if is_deleting(record) {
            Deletions::start(core, id, false);
        } else {
            Drivers::start(core, id);
        }
    }
    Ok(unfinished.len())
}

/// Puts a node in order after it registered: workspaces that nobody knows are removed, deletions that it did not
/// answer are finished.
pub(crate) async fn tidy(core: Arc<Core>, node: String, workspace_ids: Vec<String>) {
    match core.store.unfinished().await {
        Ok(unfinished) => {
            for record in unfinished {
                if record.workspace.node == node && is_deleting(&record) {
                    Deletions::start(&core, &record.workspace.id, false);
                }
            }
        }
        Err(error) => tracing::error!(%error, "cannot look for deletions to finish"),
    }
    for id in workspace_ids {
        match core.store.workspace(&id).await {
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "cannot look for workspaces that are left over");
                return;
            }
        }
        let Some(node) = core.fleet.get(&node) else {
            return;
        };
        tracing::info!(
            workspace.id = id,
            node = node.name,
            "removing a workspace that is not known"
        );
        if let Err(error) = remove(&core, &node, &id, REMOVE).await {
            tracing::warn!(workspace.id = id, node = node.name, %error, "it is still there; the next registration tries again");
        }
    }
}

fn is_deleting(record: &Record) -> bool {
    record.workspace.state() == WorkspaceState::Deleting
}
