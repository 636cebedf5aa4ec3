use async_trait::async_trait;
use hearth_api::v1::{Event, Workspace, WorkspaceState};
use hearth_domain::{AttemptRef, WorkspaceId};
use prost_types::Timestamp;

use super::error::StoreError;
use crate::record::{Ending, LogEntry, Record};

/// A request id together with a digest of what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// The id, as the client chose it.
    pub id: String,
    /// Digest of the payload.
    pub payload: String,
}

/// What came of a request that may have been sent before.
#[derive(Clone, Debug, PartialEq)]
pub enum Once {
    /// It was done now.
    New(Change),
    /// It was done before, with the same payload; this is the workspace as it is now.
    Before(Record),
}

/// A workspace after a change, and what the change added to its log.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The workspace after it.
    pub record: Record,
    /// What is new in its log.
    pub entries: Vec<LogEntry>,
}

/// A part of a workspace's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The workspace at the moment of reading.
    pub record: Record,
    /// Sequence of the oldest event that is kept; one more than the newest when none is.
    pub oldest: u64,
    /// In order of sequence.
    pub events: Vec<Event>,
}

/// How many workspaces there are of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Their node.
    pub node: String,
    /// Their state.
    pub state: WorkspaceState,
    /// How many.
    pub workspaces: u32,
}

/// What the control plane remembers of workspaces. Every method is one transaction.
#[async_trait]
pub trait WorkspaceStore: Send + Sync {
    /// Enters a new workspace.
    async fn create(&self, record: Record, request: Option<RequestId>) -> Result<Once, StoreError>;

    /// The workspace that a request led to, if it was sent before.
    async fn requested(&self, request: &RequestId) -> Result<Option<Record>, StoreError>;

    /// Replaces the newest attempt with another.
    async fn begin_attempt(
        &self,
        id: &WorkspaceId,
        request: Option<RequestId>,
        now: Timestamp,
    ) -> Result<Once, StoreError>;

    /// Notes which agent took the newest attempt.
    async fn accepted(
        &self,
        attempt: &AttemptRef,
        boot_id: &str,
        now: Timestamp,
    ) -> Result<Record, StoreError>;

    /// Appends events of the agent; those that are stored already are left out.
    async fn append(
        &self,
        attempt: &AttemptRef,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<Change, StoreError>;

    /// Appends a warning of the control plane's own; nothing when the attempt has settled.
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

    /// Ends the attempt and marks the workspace. Marking it twice is no error.
    async fn begin_delete(&self, id: &WorkspaceId, now: Timestamp) -> Result<Change, StoreError>;

    /// Forgets a workspace with its log and its request ids.
    async fn forget(&self, id: &WorkspaceId) -> Result<(), StoreError>;

    /// One workspace.
    async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Record>, StoreError>;

    /// Workspaces with their numbers, newest first, beginning below `before`.
    async fn list(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Workspace)>, StoreError>;

    /// Workspaces that something still has to happen to.
    async fn unfinished(&self) -> Result<Vec<Record>, StoreError>;

    /// At most `limit` events after `after`; `None` when there is no such workspace.
    async fn events(
        &self,
        id: &WorkspaceId,
        after: u64,
        limit: u32,
    ) -> Result<Option<Page>, StoreError>;

    /// How many workspaces there are, by node and state.
    async fn counts(&self) -> Result<Vec<Count>, StoreError>;
}
