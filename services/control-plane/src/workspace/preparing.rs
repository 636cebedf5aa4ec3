use std::sync::Arc;

use hearth_api::v1::{Workspace, WorkspaceSpec};
use hearth_runtime::{FieldFaults, Tasks};
use uuid::Uuid;

use super::{drivers::Drivers, journal::Journal};
use crate::{
    clock::now,
    detached::detached,
    error::CallError,
    node::Nodes,
    record::Record,
    store::{Once, RequestId, Store},
};

/// A checked request for a workspace.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) request: Option<RequestId>,
    pub(crate) node: Option<String>,
    pub(crate) what: What,
}

/// What is to be prepared.
#[derive(Debug)]
pub(crate) enum What {
    New(WorkspaceSpec),
    Again { workspace_id: String },
}

/// What a call to prepare led to.
pub(crate) enum Prepared {
    /// A new attempt; the workspace as it was when it began.
    Now(Box<Workspace>),
    /// The same call was made before; the workspace that it led to.
    Before(String),
}

/// The workspaces, and how new attempts at them begin.
pub(crate) struct Workspaces {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    nodes: Arc<Nodes>,
    drivers: Arc<Drivers>,
    tasks: Tasks,
}

impl Workspaces {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        journal: Arc<Journal>,
        nodes: Arc<Nodes>,
        drivers: Arc<Drivers>,
        tasks: Tasks,
    ) -> Self {
        Self {
            store,
            journal,
            nodes,
            drivers,
            tasks,
        }
    }

    /// Begins an attempt, and drives it in the background. A caller that goes away stops nothing.
    pub(crate) async fn prepare(self: &Arc<Self>, wanted: Wanted) -> Result<Prepared, CallError> {
        let workspaces = self.clone();
        let work = async move { workspaces.begin(wanted).await };
        detached(&self.tasks, "prepare workspace", work).await
    }

    async fn begin(&self, wanted: Wanted) -> Result<Prepared, CallError> {
        // A repeated call is answered even where a new one could not be.
        if let Some(request) = &wanted.request
            && let Some(record) = self.store.requested(request).await?
        {
            return Ok(Prepared::Before(record.workspace.id));
        }
        let once = match wanted.what {
            What::New(spec) => {
                let workspace = Workspace {
                    id: new_id(),
                    spec: Some(spec),
                    node: self.place(wanted.node).await?,
                    create_time: Some(now()),
                    update_time: Some(now()),
                    ..Workspace::default()
                };
                self.journal.create(workspace, wanted.request).await?
            }
            What::Again { workspace_id } => {
                let node = self.find(&workspace_id).await?.workspace.node;
                if wanted.node.is_some_and(|wanted| wanted != node) {
                    let mut faults = FieldFaults::default();
                    let why = format!("is not the workspace's own, which is {node}");
                    faults.add("node", why);
                    faults.into_result()?;
                }
                self.nodes.check_online(&node)?;
                self.journal
                    .begin_attempt(&workspace_id, wanted.request)
                    .await?
            }
        };
        match once {
            Once::New(change) => {
                let workspace = change.record.workspace;
                tracing::info!(
                    workspace.id = workspace.id,
                    workspace.attempt,
                    node = workspace.node,
                    repository = workspace.spec.as_ref().map(|spec| spec.repository.as_str()),
                    "attempt begins"
                );
                self.drivers.start(&workspace.id);
                Ok(Prepared::Now(Box::new(workspace)))
            }
            Once::Before(record) => Ok(Prepared::Before(record.workspace.id)),
        }
    }

    /// The node that was asked for, or the one with the least to do.
    async fn place(&self, wanted: Option<String>) -> Result<String, CallError> {
        match wanted {
            Some(name) => {
                self.nodes.check_online(&name)?;
                Ok(name)
            }
            None => self.nodes.least_loaded().await,
        }
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Record, CallError> {
        let record = self.store.workspace(id).await?;
        record.ok_or_else(|| CallError::WorkspaceUnknown(id.to_owned()))
    }

    /// At most `limit` workspaces with their numbers, newest first, beginning below `before`.
    pub(crate) async fn list(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Workspace)>, CallError> {
        Ok(self.store.list(before, limit).await?)
    }
}

/// Nobody can guess another's, and 48 random bits do not collide within one control plane; if they do, the database
/// refuses the second.
fn new_id() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("ws-{}", &random[..12])
}
