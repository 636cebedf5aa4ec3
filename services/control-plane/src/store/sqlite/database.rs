use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use hearth_runtime::{LockError, lock_file};
use parking_lot::Mutex;
use sqlx::{
    Sqlite as Db, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::{error::StoreError, whole::Store};

/// How long a statement waits for another process, for example a backup.
const BUSY: Duration = Duration::from_secs(10);
/// Connections of readers, which never wait for the writer in WAL mode.
const READERS: u32 = 4;

/// The store in one SQLite file.
pub struct Sqlite {
    // One connection, so that writers queue here and not in SQLite, which polls.
    pub(super) writer: SqlitePool,
    pub(super) reader: SqlitePool,
    pub(super) history_limit: u64,
    /// Locked until the store is closed: two control planes on one database would both drive its workspaces, each with
    /// leases of its own.
    lock: Mutex<Option<File>>,
}

impl Sqlite {
    /// Opens or creates the file, with its folder, and migrates its schema. `history_limit` events are kept for each workspace.
    pub async fn open(path: &Path, history_limit: u64) -> Result<Self, StoreError> {
        let lock = lock(path).await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode a crash of the process loses nothing, and a crash of the machine at most the last
            // transactions, without corruption (https://sqlite.org/pragma.html#pragma_synchronous).
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!().run(&writer).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self {
            writer,
            reader,
            history_limit: history_limit.max(1),
            lock: Mutex::new(Some(lock)),
        })
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Db>, StoreError> {
        // A transaction that begins by reading and then writes would fail instead of waiting.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn close(&self) {
        // The writer last: it moves the write-ahead log into the file.
        self.reader.close().await;
        self.writer.close().await;
        self.lock.lock().take();
    }
}

/// Makes the folder, and locks the file beside the database. It stays when the process ends; its lock does not.
async fn lock(database: &Path) -> Result<File, StoreError> {
    let failed = |path: &Path, cause| StoreError::Folder {
        path: path.to_owned(),
        cause,
    };
    if let Some(folder) = database.parent() {
        fs::create_dir_all(folder).map_err(|cause| failed(folder, cause))?;
    }
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    lock_file(&path).await.map_err(|error| match error {
        LockError::InUse => StoreError::InUse(path.clone()),
        LockError::Io(cause) => failed(&path, cause),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_folder_is_made_and_one_store_at_a_time_has_the_database() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("not/there/yet/h.db");
        let store = Sqlite::open(&path, 10).await.expect("a store");
        // The pools of connections have timeouts of their own.
        tokio::time::pause();
        let second = Sqlite::open(&path, 10).await;
        tokio::time::resume();
        let Err(error) = second else {
            panic!("two stores have one database");
        };
        assert!(
            error.to_string().contains("another control plane"),
            "{error}"
        );
        assert!(error.to_string().contains("h.db.lock"), "{error}");
        store.close().await;
        // Also when nobody closed it, as after a crash.
        drop(Sqlite::open(&path, 10).await.expect("a store"));
        Sqlite::open(&path, 10).await.expect("a store");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().expect("a folder");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("a file");
        let Err(error) = Sqlite::open(&file.join("x/h.db"), 10).await else {
            panic!("there is no such folder");
        };
        assert!(
            error.to_string().contains("file/x cannot be made"),
            "{error}"
        );
    }
}
