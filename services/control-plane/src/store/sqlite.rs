use std::{path::Path, time::Duration};

use async_trait::async_trait;
use hearth_api::v1::{Event, Workspace, WorkspaceState};
use prost::Message as _;
use prost_types::Timestamp;
use sqlx::{
    Row as _, Sqlite as Db, SqliteConnection, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    Change, Count, Once, Page, RequestId, Store, StoreError, StoredNode,
    sqlite_rows::{check_newest, decode, find, record, remember, requested, to_i64, to_u64},
};
use crate::{
    log::{Ending, LogEntry},
    record::Record,
};

/// How long a statement waits for another process that writes, for example a backup.
const BUSY: Duration = Duration::from_secs(10);
/// Readers never wait for the writer in WAL mode; more than this many at once wait for each other.
const READERS: u32 = 4;

/// The store in one SQLite file.
pub struct Sqlite {
    // One connection writes, so that writers queue here and not in SQLite, which polls.
    pub(super) writer: SqlitePool,
    pub(super) reader: SqlitePool,
    history_limit: u64,
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

    async fn begin(&self) -> Result<Transaction<'static, Db>, StoreError> {
        // A transaction that begins by reading and then writes would fail instead of waiting.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Reads a workspace, changes it, and writes it with what its log gained.
    async fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Record) -> Result<Vec<LogEntry>, StoreError> + Send,
    ) -> Result<Change, StoreError> {
        let mut transaction = self.begin().await?;
        let changed = self.change_in(&mut transaction, id, change).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    async fn change_in(
        &self,
        connection: &mut SqliteConnection,
        id: &str,
        change: impl FnOnce(&mut Record) -> Result<Vec<LogEntry>, StoreError> + Send,
    ) -> Result<Change, StoreError> {
        let mut record = find(connection, id)
            .await?
            .ok_or_else(|| StoreError::WorkspaceUnknown(id.to_owned()))?;
        let entries = change(&mut record)?;
        for entry in &entries {
            sqlx::query(
                "INSERT INTO events (workspace_id, sequence, attempt, agent_sequence, event) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(id)
            .bind(to_i64(entry.event.sequence))
            .bind(i64::from(entry.event.attempt))
            .bind(to_i64(entry.agent_sequence))
            .bind(entry.event.encode_to_vec())
            .execute(&mut *connection)
            .await?;
        }
        if !entries.is_empty() {
            let trimmed = record
                .workspace
                .last_sequence
                .saturating_sub(self.history_limit);
            sqlx::query("DELETE FROM events WHERE workspace_id = ? AND sequence <= ?")
                .bind(id)
                .bind(to_i64(trimmed))
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query(
            "UPDATE workspaces SET state = ?, settled = ?, snapshot = ?, progress = ? WHERE id = ?",
        )
        .bind(record.workspace.state)
        .bind(record.workspace.settled)
        .bind(record.workspace.encode_to_vec())
        .bind(record.progress.encode_to_vec())
        .bind(id)
        .execute(&mut *connection)
        .await?;
        Ok(Change { record, entries })
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn create(
        &self,
        workspace: Workspace,
        request: Option<RequestId>,
    ) -> Result<Once, StoreError> {
        let mut transaction = self.begin().await?;
        if let Some(record) = requested(&mut transaction, request.as_ref()).await? {
            return Ok(Once::Before(record));
        }
        let record = Record::new(workspace);
        let workspace = &record.workspace;
        sqlx::query(
            "INSERT INTO workspaces (id, node, state, settled, snapshot, progress) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&workspace.id)
        .bind(&workspace.node)
        .bind(workspace.state)
        .bind(workspace.settled)
        .bind(workspace.encode_to_vec())
        .bind(record.progress.encode_to_vec())
        .execute(&mut *transaction)
        .await?;
        remember(&mut transaction, request.as_ref(), &workspace.id).await?;
        transaction.commit().await?;
        Ok(Once::New(Change {
            record,
            entries: Vec::new(),
        }))
    }

    async fn requested(&self, request: &RequestId) -> Result<Option<Record>, StoreError> {
        requested(&mut *self.reader.acquire().await?, Some(request)).await
    }

    async fn begin_attempt(
        &self,
        id: &str,
        request: Option<RequestId>,
        now: Timestamp,
    ) -> Result<Once, StoreError> {
        let mut transaction = self.begin().await?;
        if let Some(record) = requested(&mut transaction, request.as_ref()).await? {
            return Ok(Once::Before(record));
        }
        let change = self
            .change_in(&mut transaction, id, |record| {
                if record.workspace.state() == WorkspaceState::Deleting {
                    return Err(StoreError::Deleting(id.to_owned()));
                }
                Ok(record.begin_attempt(now))
            })
            .await?;
        remember(&mut transaction, request.as_ref(), id).await?;
        transaction.commit().await?;
        Ok(Once::New(change))
    }

    async fn accepted(
        &self,
        id: &str,
        attempt: u32,
        boot_id: &str,
        now: Timestamp,
    ) -> Result<Record, StoreError> {
        let change = self
            .change(id, |record| {
                check_newest(record, attempt)?;
                record.accepted(boot_id, &now);
                Ok(Vec::new())
            })
            .await?;
        Ok(change.record)
    }

    async fn append(
        &self,
        id: &str,
        attempt: u32,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<Change, StoreError> {
        self.change(id, |record| {
            check_newest(record, attempt)?;
            Ok(record.append(events, now))
        })
        .await
    }

    async fn end(
        &self,
        id: &str,
        attempt: u32,
        ending: &Ending,
        now: Timestamp,
    ) -> Result<Change, StoreError> {
        self.change(id, |record| {
            check_newest(record, attempt)?;
            Ok(record.end(ending, now))
        })
        .await
    }

    async fn begin_delete(&self, id: &str, now: Timestamp) -> Result<Change, StoreError> {
        self.change(id, |record| Ok(record.begin_delete(now))).await
    }

    async fn forget(&self, id: &str) -> Result<(), StoreError> {
        // The log and the request ids go with it: ON DELETE CASCADE.
        sqlx::query("DELETE FROM workspaces WHERE id = ?")
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn workspace(&self, id: &str) -> Result<Option<Record>, StoreError> {
        find(&mut *self.reader.acquire().await?, id).await
    }

    async fn list(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Workspace)>, StoreError> {
        sqlx::query(
            "SELECT number, snapshot FROM workspaces WHERE number < ? ORDER BY number DESC LIMIT ?",
        )
        .bind(before.map_or(i64::MAX, to_i64))
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(|row| Ok((to_u64(row.try_get("number")?), decode(row, "snapshot")?)))
        .collect()
    }

    async fn unfinished(&self) -> Result<Vec<Record>, StoreError> {
        sqlx::query(
            "SELECT snapshot, progress FROM workspaces WHERE settled = 0 OR state = 6 ORDER BY number",
        )
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(record)
        .collect()
    }

    async fn events(&self, id: &str, after: u64, limit: u32) -> Result<Option<Page>, StoreError> {
        // One transaction, so that the record and the events are of the same moment.
        let mut transaction = self.reader.begin().await?;
        let Some(record) = find(&mut transaction, id).await? else {
            return Ok(None);
        };
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT min(sequence) FROM events WHERE workspace_id = ?")
                .bind(id)
                .fetch_one(&mut *transaction)
                .await?;
        let events = sqlx::query(
            "SELECT event FROM events WHERE workspace_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        )
        .bind(id)
        .bind(to_i64(after))
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await?
        .iter()
        .map(|row| decode(row, "event"))
        .collect::<Result<_, _>>()?;
        Ok(Some(Page {
            oldest: oldest.map_or(record.workspace.last_sequence + 1, to_u64),
            record,
            events,
        }))
    }

    async fn counts(&self) -> Result<Vec<Count>, StoreError> {
        sqlx::query("SELECT node, state, count(*) AS n FROM workspaces GROUP BY node, state")
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(|row| {
                Ok(Count {
                    node: row.try_get("node")?,
                    state: WorkspaceState::try_from(row.try_get::<i32, _>("state")?)
                        .unwrap_or_default(),
                    workspaces: u32::try_from(row.try_get::<i64, _>("n")?).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }

    async fn put_node(&self, node: &StoredNode) -> Result<(), StoreError> {
        self.write_node(node).await
    }

    async fn nodes(&self) -> Result<Vec<StoredNode>, StoreError> {
        self.read_nodes().await
    }

    async fn put_session(&self, node: &str, digest: &str) -> Result<(), StoreError> {
        self.write_session(node, digest).await
    }

    async fn sessions(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read_sessions().await
    }

    async fn close(&self) {
        // The last connection to close moves the log of SQLite into the file; only the writer can.
        self.reader.close().await;
        self.writer.close().await;
    }
}
