use async_trait::async_trait;
use hearth_api::v1::{Event, Workspace, WorkspaceState};
use hearth_domain::{AttemptRef, WorkspaceId};
use prost::Message as _;
use prost_types::Timestamp;
use sqlx::{Row as _, SqliteConnection};

use super::{
    database::Sqlite,
    rows::{
        check_newest, decode, find, loads, readable, record, remember, requested, to_i64, to_u64,
        unless_corrupt,
    },
};
use crate::{
    record::{Ending, LogEntry, Record},
    store::{
        error::StoreError,
        workspaces::{Change, Count, Once, Page, Placement, RequestId, WorkspaceStore},
    },
};

impl Sqlite {
    /// Reads a workspace, changes it, and writes it with the new entries of its log.
    async fn change(
        &self,
        id: &WorkspaceId,
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
        id: &WorkspaceId,
        change: impl FnOnce(&mut Record) -> Result<Vec<LogEntry>, StoreError> + Send,
    ) -> Result<Change, StoreError> {
        let mut record = find(connection, id)
            .await?
            .ok_or_else(|| StoreError::WorkspaceUnknown(id.clone()))?;
        let entries = change(&mut record)?;
        for entry in &entries {
            sqlx::query(
                "INSERT INTO events (workspace_id, sequence, attempt, agent_sequence, event) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(id.as_str())
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
                .bind(id.as_str())
                .bind(to_i64(trimmed))
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query(
            "UPDATE workspaces SET node = ?, state = ?, settled = ?, snapshot = ?, progress = ? WHERE id = ?",
        )
        .bind(&record.workspace.node)
        .bind(record.workspace.state)
        .bind(record.workspace.settled)
        .bind(record.workspace.encode_to_vec())
        .bind(record.progress.encode_to_vec())
        .bind(id.as_str())
        .execute(&mut *connection)
        .await?;
        Ok(Change { record, entries })
    }
}

#[async_trait]
impl WorkspaceStore for Sqlite {
    async fn create(
        &self,
        mut record: Record,
        request: Option<RequestId>,
        placement: Placement<'_>,
    ) -> Result<Once, StoreError> {
        let mut transaction = self.begin().await?;
        if let Some(before) = requested(&mut transaction, request.as_ref()).await? {
            return Ok(Once::Before(before));
        }
        let node = placement(&loads(&mut transaction).await?);
        record.workspace.node = node.ok_or(StoreError::NoNode)?;
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
        remember(&mut transaction, request.as_ref(), &record.id).await?;
        transaction.commit().await?;
        Ok(Once::New(Change {
            record,
            entries: Vec::new(),
        }))
    }

    async fn move_on(
        &self,
        attempt: &AttemptRef,
        why: &str,
        placement: Placement<'_>,
        now: Timestamp,
    ) -> Result<Option<Change>, StoreError> {
        let mut transaction = self.begin().await?;
        let Some(node) = placement(&loads(&mut transaction).await?) else {
            return Ok(None);
        };
        let moved = self
            .change_in(&mut transaction, &attempt.workspace, |record| {
                check_newest(record, attempt)?;
                Ok(record.move_to(&node, why, now))
            })
            .await?;
        transaction.commit().await?;
        Ok(Some(moved).filter(|moved| !moved.entries.is_empty()))
    }

    async fn requested(&self, request: &RequestId) -> Result<Option<Record>, StoreError> {
        requested(&mut *self.reader.acquire().await?, Some(request)).await
    }

    async fn begin_attempt(
        &self,
        id: &WorkspaceId,
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
                    return Err(StoreError::Deleting(id.clone()));
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
        attempt: &AttemptRef,
        boot_id: &str,
        now: Timestamp,
    ) -> Result<Record, StoreError> {
        let change = self
            .change(&attempt.workspace, |record| {
                check_newest(record, attempt)?;
                record.accepted(boot_id, &now);
                Ok(Vec::new())
            })
            .await?;
        Ok(change.record)
    }

    async fn append(
        &self,
        attempt: &AttemptRef,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<Change, StoreError> {
        self.change(&attempt.workspace, |record| {
            check_newest(record, attempt)?;
            Ok(record.append(events, now))
        })
        .await
    }

    async fn note(
        &self,
        attempt: &AttemptRef,
        warning: &str,
        now: Timestamp,
    ) -> Result<Change, StoreError> {
        self.change(&attempt.workspace, |record| {
            check_newest(record, attempt)?;
            Ok(record.note(warning, now))
        })
        .await
    }

    async fn end(
        &self,
        attempt: &AttemptRef,
        ending: &Ending,
        now: Timestamp,
    ) -> Result<Change, StoreError> {
        self.change(&attempt.workspace, |record| {
            check_newest(record, attempt)?;
            Ok(record.end(ending, now))
        })
        .await
    }

    async fn begin_delete(&self, id: &WorkspaceId, now: Timestamp) -> Result<Change, StoreError> {
        self.change(id, |record| Ok(record.begin_delete(now))).await
    }

    async fn forget(&self, id: &WorkspaceId) -> Result<(), StoreError> {
        // The log and the request ids go with it: ON DELETE CASCADE.
        sqlx::query("DELETE FROM workspaces WHERE id = ?")
            .bind(id.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Record>, StoreError> {
        find(&mut *self.reader.acquire().await?, id).await
    }

    async fn list(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Option<Workspace>)>, StoreError> {
        sqlx::query(
            "SELECT number, id, snapshot, progress FROM workspaces WHERE number < ? ORDER BY number DESC LIMIT ?",
        )
        .bind(before.map_or(i64::MAX, to_i64))
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(|row| {
            let workspace = unless_corrupt(record(row))?.map(|record| record.workspace);
            Ok((to_u64(row.try_get("number")?), workspace))
        })
        .collect()
    }

    async fn node_of(&self, id: &WorkspaceId) -> Result<Option<String>, StoreError> {
        let node = sqlx::query_scalar("SELECT node FROM workspaces WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(&self.reader);
        Ok(node.await?)
    }

    async fn unfinished(&self) -> Result<Vec<Record>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, snapshot, progress FROM workspaces WHERE settled = 0 OR state = 6 ORDER BY number",
        )
        .fetch_all(&self.reader)
        .await?;
        readable(&rows, record)
    }

    async fn events(
        &self,
        id: &WorkspaceId,
        after: u64,
        limit: u32,
    ) -> Result<Option<Page>, StoreError> {
        // One transaction, so that the record and the events are of the same moment.
        let mut transaction = self.reader.begin().await?;
        let Some(record) = find(&mut transaction, id).await? else {
            return Ok(None);
        };
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT min(sequence) FROM events WHERE workspace_id = ?")
                .bind(id.as_str())
                .fetch_one(&mut *transaction)
                .await?;
        let events = sqlx::query(
            "SELECT sequence, event FROM events WHERE workspace_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        )
        .bind(id.as_str())
        .bind(to_i64(after))
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await?
        .iter()
        .map(|row| {
            let sequence: i64 = row.try_get("sequence")?;
            let key = format_args!("{id} {sequence}");
            decode(row, "events", key, "event")
        })
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
                let node: String = row.try_get("node")?;
                let state = WorkspaceState::try_from(row.try_get::<i32, _>("state")?);
                Ok(Count {
                    state: state.unwrap_or_default(),
                    node,
                    workspaces: u32::try_from(row.try_get::<i64, _>("n")?).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }
}
