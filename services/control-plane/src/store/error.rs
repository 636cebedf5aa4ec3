use std::path::PathBuf;

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
    #[error(
        "row {row} of the database's table {table} cannot be read: {why}; {}",
        remedy(table, row)
    )]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// Which value, and what is wrong with it.
        why: String,
    },
    /// Another process has the database open.
    #[error(
        "another control plane uses this database (it holds {}); stop that one first, or give this one another --database",
        .0.display()
    )]
    InUse(PathBuf),
    /// The database's folder or lock cannot be made.
    #[error("{} cannot be made: {cause}", path.display())]
    Folder {
        /// What cannot be made.
        path: PathBuf,
        /// The cause. It is in the message, and no source of this error: it would be told twice.
        cause: std::io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The schema could not be migrated.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// What to do about a row that cannot be read. Where it matters to nothing else it is left out of lists.
fn remedy(table: &str, row: &str) -> String {
    match table {
        "workspaces" => format!("remove the workspace with: hearth rm {row}"),
        "nodes" => "it is written anew when the node's agent registers".to_owned(),
        "cache_entries" => {
            "drop the repository's entries with `hearth cache rm`; they are built again".to_owned()
        }
        _ => "restore the database from a backup".to_owned(),
    }
}
