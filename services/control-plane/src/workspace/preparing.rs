use std::{collections::BTreeMap, sync::Arc};

use hearth_api::v1::{Lifetime, Workspace, WorkspaceSpec, WorkspaceState};
use hearth_domain::{Spec, WorkspaceId};
use hearth_runtime::{FieldFaults, Tasks};
use uuid::Uuid;

use super::{drivers::Drivers, journal::Journal, stopping::Stops};
use crate::{
    clock::now,
    detached::detached,
    error::CallError,
    node::{Fleet, Nodes, Unusable},
    record::{LifeChange, Rebuilding, Record},
    store::{Load, Once, PageLimit, RequestId, Store, StoreError},
};

/// A request to prepare a workspace.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) request: Option<RequestId>,
    pub(crate) node: Option<String>,
    pub(crate) what: What,
}

/// What to prepare.
#[derive(Debug)]
pub(crate) enum What {
    /// A new workspace.
    New {
        spec: Box<Spec>,
        /// The message that was parsed, as clients see it.
        message: Box<WorkspaceSpec>,
        labels: BTreeMap<String, String>,
        /// Empty: nobody.
        owner: String,
        lifetime: Lifetime,
    },
    /// A new attempt of a workspace.
    Again(WorkspaceId, Rebuilding),
}

/// The result of a request to prepare.
pub(crate) enum Prepared {
    /// A new attempt, with the workspace as of its begin.
    Now(Box<Record>),
    /// The same request was made before, for this workspace.
    Before(WorkspaceId),
}

/// Creates, finds and lists workspaces, and begins attempts.
pub(crate) struct Workspaces {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    nodes: Arc<Nodes>,
    fleet: Arc<Fleet>,
    drivers: Arc<Drivers>,
    stops: Arc<Stops>,
    tasks: Tasks,
}

impl Workspaces {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        journal: Arc<Journal>,
        nodes: Arc<Nodes>,
        fleet: Arc<Fleet>,
        drivers: Arc<Drivers>,
        stops: Arc<Stops>,
        tasks: Tasks,
    ) -> Self {
        Self {
            store,
            journal,
            nodes,
            fleet,
            drivers,
            stops,
            tasks,
        }
    }

    /// Begins an attempt and drives it in the background, also if the call is cancelled.
    pub(crate) async fn prepare(self: &Arc<Self>, wanted: Wanted) -> Result<Prepared, CallError> {
        let workspaces = self.clone();
        let work = async move { workspaces.begin(wanted).await };
        detached(&self.tasks, "prepare workspace", work).await
    }

    async fn begin(&self, wanted: Wanted) -> Result<Prepared, CallError> {
        // A repeated request is answered even if its node is lost meanwhile.
        if let Some(request) = &wanted.request
            && let Some(record) = self.store.requested(request).await?
        {
            return Ok(Prepared::Before(record.id));
        }
        self.store.has_room()?;
        let once = match wanted.what {
            What::New {
                spec,
                message,
                labels,
                owner,
                lifetime,
            } => {
                if let Some(name) = &wanted.node {
                    self.nodes.check_online(name)?;
                }
                let workspace = Workspace {
                    spec: Some(*message),
                    create_time: Some(now()),
                    update_time: Some(now()),
                    labels,
                    owner,
                    lifetime: Some(lifetime),
                    ..Workspace::default()
                };
                let mut record = Record::new(new_id(), *spec, workspace);
                record.progress.placed = wanted.node.is_none();
                let (id, node) = (record.id.clone(), wanted.node);
                let place = |loads: &[Load]| {
                    let asked_for = node.clone();
                    asked_for.or_else(|| self.fleet.place(&id, loads, &[]))
                };
                let created = self.journal.create(record, wanted.request, &place).await;
                created.map_err(|error| match error {
                    StoreError::NoNode => self.nodes.none(),
                    error => error.into(),
                })?
            }
            What::Again(id, how) => {
                let node = self.find(&id).await?.workspace.node;
                if wanted.node.is_some_and(|wanted| wanted != node) {
                    let mut faults = FieldFaults::default();
                    let why = format!("is not the workspace's node, which is {node}");
                    faults.add("node", why);
                    faults.into_result()?;
                }
                self.nodes.check_online(&node)?;
                self.journal.begin_attempt(&id, wanted.request, how).await?
            }
        };
        match once {
            Once::New(change) => {
                let record = change.record;
                tracing::info!(
                    workspace.id = %record.id,
                    workspace.attempt = record.workspace.attempt,
                    node = record.workspace.node,
                    repository = %record.spec.repository,
                    "attempt begins"
                );
                self.drivers.start(&record.id);
                Ok(Prepared::Now(Box::new(record)))
            }
            Once::Before(record) => Ok(Prepared::Before(record.id)),
        }
    }

    /// Starts a workspace again that is stopped, in the background, also if the call is cancelled. One that can be used, or is
    /// being prepared or started, is left to that.
    pub(crate) async fn start(self: &Arc<Self>, id: WorkspaceId) -> Result<Prepared, CallError> {
        let workspaces = self.clone();
        let work = async move { workspaces.begin_start(id).await };
        detached(&self.tasks, "start workspace", work).await
    }

    async fn begin_start(&self, id: WorkspaceId) -> Result<Prepared, CallError> {
        self.stops.ended(&id).await;
        let record = self.find(&id).await?;
        let Workspace {
            node, container_id, ..
        } = &record.workspace;
        let state = record.workspace.state();
        match state {
            WorkspaceState::Pending | WorkspaceState::Preparing => return Ok(Prepared::Before(id)),
            WorkspaceState::Ready | WorkspaceState::Recovery => {
                match self.fleet.unusable(node, id.as_str(), container_id) {
                    None => return Ok(Prepared::Before(id)),
                    Some(Unusable::ContainerGone)
                        if record.progress.ended_container == *container_id =>
                    {
                        let state = WorkspaceState::Lost;
                        return Err(CallError::NotNow { id, state });
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
        self.nodes.check_online(node)?;
        self.store.has_room()?;
        let begun = self.journal.live(&id, None, LifeChange::BeginStart).await;
        match begun {
            Ok(record) => {
                tracing::info!(
                    workspace.id = %id,
                    workspace.attempt = record.workspace.attempt,
                    node = record.workspace.node,
                    "start begins"
                );
                self.drivers.start(&id);
                Ok(Prepared::Now(Box::new(record)))
            }
            // Another call was quicker.
            Err(StoreError::NotNow(_, WorkspaceState::Pending | WorkspaceState::Preparing)) => {
                Ok(Prepared::Before(id))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Begins the times of a workspace anew.
    pub(crate) async fn renew(
        &self,
        id: &WorkspaceId,
        lifetime: Lifetime,
    ) -> Result<Record, CallError> {
        Ok(self
            .journal
            .live(id, None, LifeChange::Renew(lifetime))
            .await?)
    }

    /// The workspace that was made for a request.
    pub(crate) async fn of_request(&self, request_id: &str) -> Result<Option<Record>, CallError> {
        Ok(self.store.of_request(request_id).await?)
    }

    pub(crate) async fn find(&self, id: &WorkspaceId) -> Result<Record, CallError> {
        let record = self.store.workspace(id).await?;
        record.ok_or_else(|| CallError::WorkspaceUnknown(id.clone()))
    }

    /// At most `limit` workspaces with their numbers, newest first, beginning below `before`. `None`: it cannot be read.
    pub(crate) async fn list(
        &self,
        before: Option<u64>,
        limit: PageLimit,
    ) -> Result<Vec<(u64, Option<Workspace>)>, CallError> {
        Ok(self.store.list(before, limit).await?)
    }
}

/// Ids cannot be guessed, and 48 random bits do not collide within one control plane; if they do, the database refuses
/// the second.
fn new_id() -> WorkspaceId {
    let (number, _) = Uuid::new_v4().as_u64_pair();
    WorkspaceId::from_number(number >> 16)
}
