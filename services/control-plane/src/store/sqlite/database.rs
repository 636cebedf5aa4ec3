use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use hearth_runtime::{LockError, lock_file};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    Connection as _, Row as _, Sqlite as Db, SqlitePool, Transaction,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};

use super::room::{Disk, shrink};
use crate::{
    clock::RunTime,
    store::{error::StoreError, whole::Store, workspaces::HistoryLimits},
};

/// How long a statement waits for another process, for example a backup.
const BUSY: Duration = Duration::from_secs(10);
/// Connections of readers, which never wait for the writer in WAL mode.
const READERS: u32 = 4;
/// What the write-ahead log is cut to when it was larger for a while.
const MAX_WAL_BYTES: &str = "16777216";

/// How the store is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How much of each workspace's log is kept.
    pub history: HistoryLimits,
    /// Free MiB of the disk below which no work is taken; 0: it is taken as long as there is room.
    pub min_free_mib: u64,
}

/// The store in one SQLite file.
pub struct Sqlite {
    // One connection, so that writers queue here and not in SQLite, which polls.
    pub(super) writer: SqlitePool,
    pub(super) reader: SqlitePool,
    pub(super) history: HistoryLimits,
    identity: String,
    pub(super) run_time: RunTime,
    disk: Disk,
    /// Locked until the store is closed: two control planes on one database would both drive its workspaces, each with
    /// leases of its own.
    lock: Mutex<Option<File>>,
}

impl Sqlite {
    /// A small one, for the tests of what uses it.
    #[cfg(test)]
    pub(crate) async fn of_test(folder: &Path) -> Self {
        let settings = Settings {
            history: HistoryLimits {
                events: 10,
                bytes: 10_000,
            },
            min_free_mib: 0,
        };
        let opened = Self::open(&folder.join("h.db"), settings).await;
        opened.expect("a store")
    }

    /// Opens or creates the file, with its folder, and migrates its schema.
    pub async fn open(path: &Path, settings: Settings) -> Result<Self, StoreError> {
        let lock = lock(path).await?;
        make(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode a crash of the process loses nothing, and a crash of the machine at most the last
            // transactions, without corruption (https://sqlite.org/pragma.html#pragma_synchronous).
            .synchronous(SqliteSynchronous::Normal)
            .pragma("journal_size_limit", MAX_WAL_BYTES)
            .busy_timeout(BUSY);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            // SQLite ends a transaction by itself when the disk is full or fails. The connection does not learn of it, and
            // would refuse every transaction from then on.
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options.clone().auto_vacuum(SqliteAutoVacuum::Incremental))
            .await?;
        sqlx::migrate!().run(&writer).await?;
        let disk = Disk::of(path, settings.min_free_mib);
        if let Err(error) = disk.convert(&writer).await {
            tracing::warn!(%error, "the database file does not shrink when workspaces are removed; the next start tries again");
        }
        let (identity, run_ms) = sqlx::query_as("SELECT identity, run_ms FROM control_plane")
            .fetch_one(&writer)
            .await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self {
            writer,
            reader,
            history: settings.history,
            identity,
            run_time: RunTime::after(run_ms),
            disk,
            lock: Mutex::new(Some(lock)),
        })
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Db>, StoreError> {
        // A transaction that begins by reading and then writes would fail instead of waiting.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn note_run_time(&self) -> Result<(), StoreError> {
        sqlx::query("UPDATE control_plane SET run_ms = ?")
            .bind(self.run_time.millis())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Gives the room of what was deleted back to the disk.
    pub(super) async fn shrink(&self) {
        shrink(&self.writer).await;
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn secret(&self, name: &str, new: &SecretString) -> Result<SecretString, StoreError> {
        // An update of nothing, so that the row is returned whether or not it was there.
        let row = sqlx::query(
            "INSERT INTO secrets (name, secret) VALUES (?, ?) \
             ON CONFLICT (name) DO UPDATE SET secret = secret RETURNING secret",
        )
        .bind(name)
        .bind(new.expose_secret())
        .fetch_one(&self.writer)
        .await?;
        Ok(row.try_get::<String, _>("secret")?.into())
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn has_room(&self) -> Result<(), StoreError> {
        self.disk.check()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.note_run_time().await?;
        self.disk.check()
    }

    async fn close(&self) {
        if let Err(error) = self.note_run_time().await {
            tracing::warn!(%error, "the last seconds of this run do not count");
        }
        // The writer last: it moves the write-ahead log into the file.
        self.reader.close().await;
        self.writer.close().await;
        self.lock.lock().take();
    }
}

/// Makes the file, for its owner's eyes alone: it has digests of tokens, and what commands said. SQLite gives the files beside it
/// the same permissions.
fn make(database: &Path) -> Result<(), StoreError> {
    let mut options = fs::OpenOptions::new();
    let made = options.append(true).create(true).mode(0o600).open(database);
    made.map(drop).map_err(|cause| StoreError::Folder {
        path: database.to_owned(),
        cause,
    })
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SETTINGS: Settings = Settings {
        history: HistoryLimits {
            events: 10,
            bytes: 1000,
        },
        min_free_mib: 0,
    };

    #[tokio::test]
    async fn the_folder_is_made_and_one_store_at_a_time_has_the_database() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("not/there/yet/h.db");
        let store = Sqlite::open(&path, SETTINGS).await.expect("a store");
        // The pools of connections have timeouts of their own.
        tokio::time::pause();
        let second = Sqlite::open(&path, SETTINGS).await;
        tokio::time::resume();
        let Err(error) = second else {
            panic!("two stores have one database");
        };
        assert!(
            error.to_string().contains("another control plane"),
            "{error}"
        );
        assert!(error.to_string().contains("h.db.lock"), "{error}");
        // Nobody else reads what is in it.
        for ending in ["", "-wal", "-shm"] {
            let file = path.with_file_name(format!("h.db{ending}"));
            let facts = fs::metadata(&file).expect("a file");
            assert_eq!(facts.permissions().mode() & 0o077, 0, "{file:?}");
        }
        store.close().await;
        // Also when nobody closed it, as after a crash.
        drop(Sqlite::open(&path, SETTINGS).await.expect("a store"));
        Sqlite::open(&path, SETTINGS).await.expect("a store");
    }

    /// For how long control planes have run on the database.
    async fn run_time(path: &Path, then: Duration, end: impl AsyncFnOnce(&Sqlite)) -> Duration {
        let store = Sqlite::open(path, SETTINGS).await.expect("a store");
        let before = store.run_time.so_far();
        tokio::time::pause();
        tokio::time::advance(then).await;
        tokio::time::resume();
        end(&store).await;
        before
    }

    #[tokio::test]
    async fn time_that_a_control_plane_runs_counts_over_restarts_and_crashes() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("h.db");
        let hour = Duration::from_secs(3600);
        let closed = async |store: &Sqlite| store.close().await;
        let crashed = async |store: &Sqlite| store.check().await.expect("a write");
        assert!(run_time(&path, hour, closed).await < hour / 2);
        let second = run_time(&path, 2 * hour, crashed).await;
        assert!((hour..2 * hour).contains(&second), "{second:?}");
        let third = run_time(&path, hour, closed).await;
        assert!((3 * hour..4 * hour).contains(&third), "{third:?}");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().expect("a folder");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("a file");
        let Err(error) = Sqlite::open(&file.join("x/h.db"), SETTINGS).await else {
            panic!("there is no such folder");
        };
        assert!(
            error.to_string().contains("file/x cannot be made"),
            "{error}"
        );
    }
}
