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
