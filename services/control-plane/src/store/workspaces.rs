use std::time::Duration;

use async_trait::async_trait;
use hearth_api::v1::{Event, Workspace, WorkspaceState};
use hearth_domain::{AttemptRef, WorkspaceId};
use prost_types::Timestamp;

use super::error::StoreError;
use crate::record::{Ending, LogEntry, Rebuilding, Record};

/// A request id with the digest of its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// The id, chosen by the client.
    pub id: String,
    /// Digest of the payload.
    pub payload: String,
}

/// The result of a request that may have been sent before.
#[derive(Clone, Debug, PartialEq)]
pub enum Once {
    /// It was sent for the first time.
    New(Change),
    /// It was sent before, with the same payload; the workspace as of now.
    Before(Record),
}

/// A workspace after a change, and what the change added to its log.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The workspace after the change.
    pub record: Record,
    /// The new entries of its log.
    pub entries: Vec<LogEntry>,
}

/// How much of each workspace's log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Events.
    pub events: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// How much is read at once; one item at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Items.
    pub items: u32,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// A part of a workspace's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The workspace at the moment of reading.
    pub record: Record,
    /// Sequence from which on the log has no gaps. Of what is before it only states and results are left, if anything.
    pub oldest: u64,
    /// In order of sequence.
    pub events: Vec<Event>,
}

/// What a node has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The node.
    pub node: String,
    /// Number of its workspaces whose newest attempt has not settled.
    pub unsettled: u64,
    /// Number of all its workspaces.
    pub workspaces: u64,
}

/// Chooses a node by what all of them have to do. It is called inside the transaction that writes the choice, so that no
/// two are made by the same numbers.
pub type Placement<'a> = &'a (dyn Fn(&[Load]) -> Option<String> + Send + Sync);

/// Number of workspaces of a node in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Their node.
    pub node: String,
    /// Their state.
    pub state: WorkspaceState,
    /// Their number.
    pub workspaces: u32,
}

/// Workspaces, their logs and their request ids. Every method is one transaction.
#[async_trait]
pub trait WorkspaceStore: Send + Sync {
    /// Adds a new workspace, on the node that `placement` chooses.
    async fn create(
        &self,
        record: Record,
        request: Option<RequestId>,
        placement: Placement<'_>,
    ) -> Result<Once, StoreError>;

    /// Moves a workspace whose attempt never began to the node that `placement` chooses, and notes why. `None`: it chooses
    /// none, or the attempt has settled.
    async fn move_on(
        &self,
        attempt: &AttemptRef,
        why: &str,
        placement: Placement<'_>,
        now: Timestamp,
    ) -> Result<Option<Change>, StoreError>;

    /// The workspace of a request that was sent before.
    async fn requested(&self, request: &RequestId) -> Result<Option<Record>, StoreError>;

    /// Replaces the newest attempt with another.
    async fn begin_attempt(
        &self,
        id: &WorkspaceId,
        request: Option<RequestId>,
        how: Rebuilding,
        now: Timestamp,
    ) -> Result<Once, StoreError>;

    /// Stores which agent accepted the newest attempt.
    async fn accepted(
        &self,
        attempt: &AttemptRef,
        boot_id: &str,
        now: Timestamp,
    ) -> Result<Record, StoreError>;

    /// Appends events of the agent that are not stored yet.
    async fn append(
        &self,
        attempt: &AttemptRef,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<Change, StoreError>;

    /// Appends a warning of the control plane, unless the attempt has settled.
    async fn note(
        &self,
        attempt: &AttemptRef,
        warning: &str,
        now: Timestamp,
    ) -> Result<Change, StoreError>;

    /// Ends an attempt.
    async fn end(
        &self,
        attempt: &AttemptRef,
        ending: &Ending,
        now: Timestamp,
    ) -> Result<Change, StoreError>;

    /// Ends the attempt and marks the workspace as being deleted. May be repeated.
    async fn begin_delete(&self, id: &WorkspaceId, now: Timestamp) -> Result<Change, StoreError>;

    /// Deletes a workspace with its log and its request ids.
    async fn forget(&self, id: &WorkspaceId) -> Result<(), StoreError>;

    /// One workspace.
    async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Record>, StoreError>;

    /// The node of a workspace, also of one that cannot be read.
    async fn node_of(&self, id: &WorkspaceId) -> Result<Option<String>, StoreError>;

    /// Workspaces with their numbers, newest first, beginning below `before`. The one with which the bytes of `limit` are
    /// exceeded is the last. `None`, and logged: it cannot be read.
    async fn list(
        &self,
        before: Option<u64>,
        limit: PageLimit,
    ) -> Result<Vec<(u64, Option<Workspace>)>, StoreError>;

    /// Workspaces with an unsettled attempt or an unfinished deletion. What cannot be read is left out, and logged.
    async fn unfinished(&self) -> Result<Vec<Record>, StoreError>;

    /// At most `limit` of the events after `after`; `None` when there is no such workspace.
    async fn events(
        &self,
        id: &WorkspaceId,
        after: u64,
        limit: PageLimit,
    ) -> Result<Option<Page>, StoreError>;

    /// Drops the output of workspaces that have settled and whose log did not grow for so long, by [`RunTime`]. Returns how
    /// many have lost theirs.
    ///
    /// [`RunTime`]: crate::clock::RunTime
    async fn drop_output(&self, settled_for: Duration) -> Result<u64, StoreError>;

    /// Notes that a node has to remove what it has of a workspace.
    async fn owe_removal(&self, id: &WorkspaceId, node: &str) -> Result<(), StoreError>;

    /// Whether a node has to remove what it has of a workspace: see [`Self::owe_removal`] and [`Self::move_on`].
    async fn owes_removal(&self, id: &WorkspaceId, node: &str) -> Result<bool, StoreError>;

    /// Notes that a node has nothing of a workspace any more.
    async fn removed_from(&self, id: &WorkspaceId, node: &str) -> Result<(), StoreError>;

    /// Numbers of workspaces by node and state.
    async fn counts(&self) -> Result<Vec<Count>, StoreError>;
}
