use std::{path::Path, time::Duration};

use async_trait::async_trait;
use sqlx::{
    Sqlite as Db, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::{error::StoreError, whole::Store};

/// How long a statement waits for another process that writes, for example a backup.
const BUSY: Duration = Duration::from_secs(10);
/// Readers never wait for the writer in WAL mode; more than this many at once wait for each other.
const READERS: u32 = 4;

/// The store in one SQLite file.
pub struct Sqlite {
    // One connection writes, so that writers queue here and not in SQLite, which polls.
    pub(super) writer: SqlitePool,
    pub(super) reader: SqlitePool,
    pub(super) history_limit: u64,
}

impl Sqlite {
    /// Opens the file, creates it if it is not there, and brings its schema up to date. `history_limit` events are
    /// kept per workspace.
    pub async fn open(path: &Path, history_limit: u64) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode a crash of the process loses nothing with this, and a crash of the machine at most the
            // last moments, never consistency (https://sqlite.org/pragma.html#pragma_synchronous).
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
        // The last connection to close moves the log of SQLite into the file; only the writer can.
        self.reader.close().await;
        self.writer.close().await;
    }
}
