use std::sync::Arc;

use hearth_api::v1::{QuarantinedWorkspace, RemoveWorkspaceRequest, WorkspaceState};
use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;

use super::{
    deletion::{Deletions, remove, whole},
    drivers::Drivers,
};
use crate::{
    error::CallError,
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

    /// After a node registered: resumes deletions that it did not answer, and has it remove what is to be removed of its
    /// workspaces, in the background. Returns those that are not known here, which nobody removes.
    pub(crate) async fn tidy(
        self: &Arc<Self>,
        node: String,
        workspaces: Vec<WorkspaceId>,
    ) -> Vec<WorkspaceId> {
        let (mut unwanted, mut unknown) = (Vec::new(), Vec::new());
        for id in workspaces {
            match self.judge(&node, &id).await {
                Ok(Verdict::Keep) => {}
                Ok(Verdict::Remove(what)) => unwanted.push((id, what)),
                Ok(Verdict::Unknown) => unknown.push(id),
                Err(error) => {
                    tracing::error!(workspace.id = %id, %error, "cannot see whether a workspace is to be removed from its node");
                }
            }
        }
        if !unknown.is_empty() {
            tracing::warn!(
                node,
                workspaces = unknown.len(),
                first = %unknown[0],
                "the node has workspaces that are not known here; they stay as they are, and `hearth nodes` lists them"
            );
        }
        let recovery = self.clone();
        self.tasks.spawn("tidy node", async move {
            tokio::select! {
                () = recovery.tasks.stopping().cancelled() => {}
                () = recovery.put_in_order(&node, unwanted) => {}
            }
        });
        unknown
    }

    async fn put_in_order(&self, node: &str, unwanted: Vec<(WorkspaceId, RemoveWorkspaceRequest)>) {
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
        for (id, what) in unwanted {
            tracing::info!(
                workspace.id = %id,
                node,
                "removing a workspace that was deleted, was placed on another node, or has failed"
            );
            if let Err(error) = self.remove(node, &id, &what).await {
                tracing::warn!(workspace.id = %id, node, %error, "an unwanted workspace was not removed; the next registration tries again");
            }
        }
    }

    async fn remove(
        &self,
        node: &str,
        id: &WorkspaceId,
        what: &RemoveWorkspaceRequest,
    ) -> Result<(), CallError> {
        remove(&self.fleet, &self.agents, node, what).await?;
        Ok(self.store.removed_from(id, node).await?)
    }

    /// What becomes of a workspace that is on a node. Only what was decided here is removed: a database that is new, or of
    /// another control plane, or an older copy, knows of fewer workspaces than there are. An attempt that was ended while the
    /// node was not heard may have become ready there; a newer one is not touched.
    async fn judge(&self, node: &str, id: &WorkspaceId) -> Result<Verdict, StoreError> {
        if self.store.node_of(id).await?.as_deref() != Some(node) {
            return Ok(match self.store.owes_removal(id, node).await? {
                true => Verdict::Remove(whole(id)),
                false => Verdict::Unknown,
            });
        }
        let record = self.store.workspace(id).await?;
        let failed = record.filter(|record| {
            let has_failed = record.workspace.state() == WorkspaceState::Failed;
            // A clone that was kept waits for another attempt.
            record.workspace.settled && has_failed && !record.progress.keeps_clone
        });
        Ok(failed.map_or(Verdict::Keep, |record| {
            Verdict::Remove(RemoveWorkspaceRequest {
                attempt: record.workspace.attempt,
                ..whole(id)
            })
        }))
    }

    /// Removes workspaces from a node that are in quarantine there.
    pub(crate) async fn remove_quarantined(
        &self,
        node: &str,
        ids: &[WorkspaceId],
    ) -> Result<(), CallError> {
        let quarantined = self.fleet.known(node)?.quarantined;
        for id in ids {
            let is_it = |one: &QuarantinedWorkspace| one.workspace_id == id.as_str();
            // A workspace that is known here by now is deleted like all others.
            let is_known = self.store.node_of(id).await?.as_deref() == Some(node);
            if is_known || !quarantined.iter().any(is_it) {
                return Err(CallError::NotQuarantined {
                    node: node.to_owned(),
                    id: id.clone(),
                });
            }
        }
        for id in ids {
            self.remove(node, id, &whole(id)).await?;
            self.fleet.forget_quarantined(node, id);
            tracing::info!(workspace.id = %id, node, "a workspace in quarantine was removed on request");
        }
        Ok(())
    }
}

/// What becomes of a workspace that is on a node.
enum Verdict {
    Keep,
    Remove(RemoveWorkspaceRequest),
    /// It is not known to be there.
    Unknown,
}

fn is_deleting(record: &Record) -> bool {
    record.workspace.state() == WorkspaceState::Deleting
}
