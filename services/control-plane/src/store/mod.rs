//! What the control plane remembers, behind one narrow trait. The rules of the log are not here but in
//! [`crate::record`] and [`crate::log`]; a store runs them inside its transactions.

use async_trait::async_trait;
use hearth_api::v1::{Event, NodeInfo, Workspace, WorkspaceState};
use prost_types::Timestamp;

use crate::{
    log::{Ending, LogEntry},
    record::Record,
};

mod cache;
mod sqlite;
mod sqlite_cache;
mod sqlite_nodes;
mod sqlite_rows;

pub use cache::{CacheStore, Decided, Lookup, Selection};
pub use sqlite::Sqlite;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such workspace.
    #[error("there is no workspace {0}")]
    WorkspaceUnknown(String),
    /// The attempt is not the workspace's newest.
    #[error("attempt {attempt} of workspace {id} is not its newest")]
    AttemptOutdated {
        /// The workspace.
        id: String,
        /// The attempt.
        attempt: u32,
    },
    /// The workspace is being deleted.
    #[error("workspace {0} is being deleted")]
    Deleting(String),
    /// The request id stands for another payload.
    #[error("the request id was used with another payload")]
    RequestIdReused,
    /// What is stored cannot be read.
    #[error("the database holds something that does not decode: {0}")]
    Corrupt(String),
    /// The database refused or broke.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

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

/// A node as it was last heard of.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNode {
    /// Its name.
    pub name: String,
    /// What its agent says of itself.
    pub info: NodeInfo,
    /// When its agent was last heard of.
    pub heartbeat: Timestamp,
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

/// What the control plane remembers. Every method is one transaction.
#[async_trait]
pub trait Store: CacheStore {
    /// Enters a new workspace.
    async fn create(
        &self,
        workspace: Workspace,
        request: Option<RequestId>,
    ) -> Result<Once, StoreError>;

    /// The workspace that a request led to, if it was sent before.
    async fn requested(&self, request: &RequestId) -> Result<Option<Record>, StoreError>;

    /// Replaces the newest attempt with another.
    async fn begin_attempt(
        &self,
        id: &str,
        request: Option<RequestId>,
        now: Timestamp,
    ) -> Result<Once, StoreError>;

    /// Notes which agent took the newest attempt.
    async fn accepted(
        &self,
        id: &str,
        attempt: u32,
        boot_id: &str,
        now: Timestamp,
    ) -> Result<Record, StoreError>;

    /// Appends events of the agent; those that are stored already are left out.
    async fn append(
        &self,
        id: &str,
        attempt: u32,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<Change, StoreError>;

    /// Ends an attempt.
    async fn end(
        &self,
        id: &str,
        attempt: u32,
        ending: &Ending,
        now: Timestamp,
    ) -> Result<Change, StoreError>;

    /// Ends the attempt and marks the workspace. Marking it twice is no error.
    async fn begin_delete(&self, id: &str, now: Timestamp) -> Result<Change, StoreError>;

    /// Forgets a workspace with its log and its request ids.
    async fn forget(&self, id: &str) -> Result<(), StoreError>;

    /// One workspace.
    async fn workspace(&self, id: &str) -> Result<Option<Record>, StoreError>;

    /// Workspaces with their numbers, newest first, beginning below `before`.
    async fn list(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Workspace)>, StoreError>;

    /// Workspaces that something still has to happen to.
    async fn unfinished(&self) -> Result<Vec<Record>, StoreError>;

    /// At most `limit` events after `after`; `None` when there is no such workspace.
    async fn events(&self, id: &str, after: u64, limit: u32) -> Result<Option<Page>, StoreError>;

    /// How many workspaces there are, by node and state.
    async fn counts(&self) -> Result<Vec<Count>, StoreError>;

    /// Enters a node, or what is new about it.
    async fn put_node(&self, node: &StoredNode) -> Result<(), StoreError>;

    /// All nodes, by name.
    async fn nodes(&self) -> Result<Vec<StoredNode>, StoreError>;

    /// Keeps the digest of a node's newest session token, in place of the one before.
    async fn put_session(&self, node: &str, digest: &str) -> Result<(), StoreError>;

    /// Nodes and the digests of their newest session tokens.
    async fn sessions(&self) -> Result<Vec<(String, String)>, StoreError>;

    /// Puts everything into its place on disk. Nothing may be asked of the store afterwards.
    async fn close(&self);
}

#[cfg(test)]
mod suite;
