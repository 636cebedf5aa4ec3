use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use hearth_api::v1::WorkspaceState;
use hearth_domain::{AttemptRef, WorkspaceId};
use prost_types::Timestamp;

use super::{error::StoreError, workspaces::Change};
use crate::record::{LifeChange, Record};

/// A workspace whose time ends soon, or has ended. Moments are run time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Because nobody uses it; else because of its time to live.
    pub idle: bool,
    /// Whether it is to be deleted, not stopped.
    pub deletes: bool,
    /// When its time ends.
    pub end: i64,
    /// The end that was announced to its users, if that was for this `end`.
    pub told: Option<i64>,
    /// What the run time is.
    pub now: i64,
}

/// A workspace whose containers are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The workspace.
    pub id: WorkspaceId,
    /// Its node.
    pub node: String,
    /// READY, RECOVERY, STOPPING or STOPPED.
    pub state: WorkspaceState,
    /// Its container; empty: there is none whose end is not known.
    pub container_id: String,
}

/// The life of workspaces after they were ready. Every method is one transaction.
#[async_trait]
pub trait LifeStore: Send + Sync {
    /// Makes a change in the life of a workspace, of this attempt if one is named.
    async fn live(
        &self,
        id: &WorkspaceId,
        attempt: Option<u32>,
        change: LifeChange,
        now: Timestamp,
    ) -> Result<Change, StoreError>;

    /// Notes that workspaces are in use.
    async fn used(&self, ids: &HashSet<WorkspaceId>) -> Result<(), StoreError>;

    /// The workspaces whose time ends within `lead`, or has ended: of its idle time-out if nothing goes on in it.
    async fn ending(&self, lead: Duration) -> Result<Vec<(AttemptRef, Ends)>, StoreError>;

    /// Notes that it was announced to the users of a workspace that it ends at `told`, because its time ends at `end`.
    async fn told(&self, id: &WorkspaceId, end: i64, told: i64) -> Result<(), StoreError>;

    /// The workspaces whose containers are looked after. What cannot be read is left out, and logged.
    async fn watched(&self) -> Result<Vec<Watched>, StoreError>;

    /// The workspace that was made for a request, whatever its payload was.
    async fn of_request(&self, request_id: &str) -> Result<Option<Record>, StoreError>;
}
