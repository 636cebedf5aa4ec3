use std::sync::Arc;

use hearth_api::v1::WorkspaceState;
use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;

use super::{
    deletion::{Deletions, remove},
    drivers::Drivers,
};
use crate::{
    node::{Agents, Fleet},
    record::Record,
    store::{Store, StoreError},
};

/// Resumes what a restart of the control plane or of an agent interrupted.
pub(crate) struct Recovery {
    store: Arc<dyn Store>,
    drivers: Arc<Drivers>,
    deletions: Arc<Deletions>,
    fleet: Arc<Fleet>,
    agents: Arc<Agents>,
    tasks: Tasks,
}

impl Recovery {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        drivers: Arc<Drivers>,
        deletions: Arc<Deletions>,
        fleet: Arc<Fleet>,
        agents: Arc<Agents>,
        tasks: Tasks,
    ) -> Self {
        Self {
            store,
            drivers,
            deletions,
            fleet,
            agents,
            tasks,
        }
    }

    /// After a restart of the control plane: resumes attempts and deletions. Returns how many.
    pub(crate) async fn resume(&self) -> Result<usize, StoreError> {
        let unfinished = self.store.unfinished().await?;
        for record in &unfinished {
            let id = &record.id;
            if is_deleting(record) {
                self.deletions.start(id, false);
            } else {
                self.drivers.start(id);
            }
        }
        Ok(unfinished.len())
    }

    /// After a node registered, in the background: removes workspaces on it that are not known or on another node by now, and
    /// resumes deletions that it did not answer.
    pub(crate) fn tidy(self: &Arc<Self>, node: String, workspace_ids: Vec<WorkspaceId>) {
        let recovery = self.clone();
        self.tasks.spawn("tidy node", async move {
            tokio::select! {
                () = recovery.tasks.stopping().cancelled() => {}
                () = recovery.put_in_order(&node, workspace_ids) => {}
            }
        });
    }

    async fn put_in_order(&self, node: &str, workspace_ids: Vec<WorkspaceId>) {
        match self.store.unfinished().await {
            Ok(unfinished) => {
                for record in unfinished {
                    if record.workspace.node == node && is_deleting(&record) {
                        self.deletions.start(&record.id, false);
                    }
                }
            }
            Err(error) => tracing::error!(%error, "cannot look for deletions to finish"),
        }
        for id in workspace_ids {
            match self.store.node_of(&id).await {
                Ok(Some(known)) if known == node => continue,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot look for unknown workspaces");
                    return;
                }
            }
            tracing::info!(
                workspace.id = %id,
                node,
                "removing a workspace that is unknown, or on another node"
            );
            if let Err(error) = remove(&self.fleet, &self.agents, node, &id).await {
                tracing::warn!(workspace.id = %id, node, %error, "an unknown workspace was not removed; the next registration tries again");
            }
        }
    }
}

fn is_deleting(record: &Record) -> bool {
    record.workspace.state() == WorkspaceState::Deleting
}
