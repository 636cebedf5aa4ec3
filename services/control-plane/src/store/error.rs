use hearth_domain::{AttemptRef, WorkspaceId};

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such workspace.
    #[error("there is no workspace {0}")]
    WorkspaceUnknown(WorkspaceId),
    /// The attempt is not the workspace's newest.
    #[error("{0} is not its newest")]
    AttemptOutdated(AttemptRef),
    /// The workspace is being deleted.
    #[error("workspace {0} is being deleted")]
    Deleting(WorkspaceId),
    /// No node can take the workspace.
    #[error("no node is online")]
    NoNode,
    /// The request id was used with another payload.
    #[error("the request id was used with another payload")]
    RequestIdReused,
    /// A row holds a value that cannot be read.
    #[error("the database is corrupt: table {table}, row {row:?}: {why}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// Which value, and what is wrong with it.
        why: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The schema could not be migrated.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}
