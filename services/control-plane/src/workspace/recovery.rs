use std::sync::Arc;

use hearth_api::v1::{RemoveWorkspaceRequest, WorkspaceState};
use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;

use super::{
    deletion::{Deletions, remove, whole},
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
    /// what attempts made that were ended as failed while it was not heard; resumes deletions that it did not answer.
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
            let what = match self.unwanted(node, &id).await {
                Ok(Some(what)) => what,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(workspace.id = %id, %error, "cannot see whether a workspace is to be removed from its node");
                    continue;
                }
            };
            tracing::info!(
                workspace.id = %id,
                node,
                "removing a workspace that is unknown, on another node, or has failed"
            );
            if let Err(error) = remove(&self.fleet, &self.agents, node, &what).await {
                tracing::warn!(workspace.id = %id, node, %error, "an unwanted workspace was not removed; the next registration tries again");
            }
        }
    }

    /// What is to be removed of a workspace that is on a node. An attempt that was ended while the node was not heard may have
    /// become ready there; a newer one is not touched.
    async fn unwanted(
        &self,
        node: &str,
        id: &WorkspaceId,
    ) -> Result<Option<RemoveWorkspaceRequest>, StoreError> {
        if self.store.node_of(id).await?.as_deref() != Some(node) {
            return Ok(Some(whole(id)));
        }
        let record = self.store.workspace(id).await?;
        let failed = record.filter(|record| {
            record.workspace.settled && record.workspace.state() == WorkspaceState::Failed
        });
        Ok(failed.map(|record| RemoveWorkspaceRequest {
            attempt: record.workspace.attempt,
            ..whole(id)
        }))
    }
}

fn is_deleting(record: &Record) -> bool {
    record.workspace.state() == WorkspaceState::Deleting
}
