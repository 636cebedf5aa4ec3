use std::path::PathBuf;

use hearth_api::v1::WorkspaceState;
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
    /// This cannot be done with a workspace in its state.
    #[error("workspace {0} is {1:?}")]
    NotNow(WorkspaceId, WorkspaceState),
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
    /// The disk of the database is nearly full.
    #[error(
        "the disk of the control plane's database ({}) has {free_mib} MiB free, and takes no work below {least_mib} MiB: \
         make room there, or lower --database-min-free-mib (HEARTH_DATABASE_MIN_FREE_MIB) of the control plane",
        folder.display()
    )]
    LittleRoom {
        /// Where the database is.
        folder: PathBuf,
        /// Free MiB.
        free_mib: u64,
        /// MiB that have to be free.
        least_mib: u64,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The schema could not be migrated.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// What keeps the database from working now, with what to do; `None`: another failure, which does not pass by itself.
    pub fn outage(&self) -> Option<String> {
        let error = match self {
            Self::Database(error) => error,
            Self::LittleRoom { .. } => return Some(self.to_string()),
            _ => return None,
        };
        let why = match error {
            sqlx::Error::PoolTimedOut => "it is busy: too much is written at once".to_owned(),
            sqlx::Error::Database(error) => {
                let code = error.code()?.parse::<u32>().ok()?;
                // The primary result code, https://sqlite.org/rescode.html.
                let advice = match code & 0xff {
                    13 => "make room on its disk",
                    10 => "look after its disk",
                    5 | 6 => "end the other program that has locked it",
                    8 | 14 => {
                        "give the control plane back its right to write the file and its folder"
                    }
                    7 => "the machine has too little memory",
                    _ => return None,
                };
                format!("{} ({advice})", error.message())
            }
            _ => return None,
        };
        Some(format!(
            "the control plane cannot use its database now: {why}; nothing is lost, and work goes on as soon as it can"
        ))
    }
}

/// What to do about a row that cannot be read. Where it matters to nothing else it is left out of lists.
fn remedy(table: &str, row: &str) -> String {
    match table {
        "workspaces" => format!("remove the workspace with: hearth rm {row}"),
        "nodes" => "it is written anew when the node's agent registers".to_owned(),
        "clients" => {
            format!("revoke the client with: hearth client revoke {row}; and make another")
        }
        "cache_entries" => {
            "drop the repository's entries with `hearth cache rm`; they are built again".to_owned()
        }
        _ => "restore the database from a backup".to_owned(),
    }
}
