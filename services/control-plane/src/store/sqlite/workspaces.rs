use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use hearth_api::v1::{Event, Workspace, WorkspaceState};
use hearth_domain::{AttemptRef, WorkspaceId};
use prost_types::Timestamp;
use sqlx::{Row as _, SqliteConnection};

use super::{
    database::Sqlite,
    log::{Log, page},
    rows::{
        check_newest, find, loads, readable, record, remember, requested, to_i64, to_u64,
        unless_corrupt,
    },
};
use crate::{
    record::{Ending, Rebuilding, Record},
    store::{
        error::StoreError,
        workspaces::{Change, Count, Once, Page, PageLimit, Placement, RequestId, WorkspaceStore},
    },
};

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
        self.insert(&mut transaction, &record).await?;
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
        let mut before = String::new();
        let moved = self
            .change_in(&mut transaction, &attempt.workspace, |record| {
                check_newest(record, attempt)?;
                before.clone_from(&record.workspace.node);
                Ok(record.move_to(&node, why, now))
            })
            .await?;
        if !moved.entries.is_empty() {
            // It may have begun the attempt all the same.
            owe_removal(&mut transaction, &attempt.workspace, &before).await?;
        }
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
        how: Rebuilding,
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
                Ok(record.begin_attempt(how, now))
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
        self.shrink().await;
        Ok(())
    }

    async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Record>, StoreError> {
        find(&mut *self.reader.acquire().await?, id).await
    }

    async fn list(
        &self,
        before: Option<u64>,
        limit: PageLimit,
    ) -> Result<Vec<(u64, Option<Workspace>)>, StoreError> {
        let mut rows = sqlx::query(
            "SELECT number, id, snapshot, progress FROM workspaces WHERE number < ? ORDER BY number DESC LIMIT ?",
        )
        .bind(before.map_or(i64::MAX, to_i64))
        .bind(i64::from(limit.items))
        .fetch(&self.reader);
        let (mut found, mut bytes) = (Vec::new(), 0);
        while bytes <= limit.bytes
            && let Some(row) = rows.try_next().await?
        {
            bytes += row.try_get::<&[u8], _>("snapshot")?.len() as u64;
            let workspace = unless_corrupt(record(&row))?.map(|record| record.workspace);
            found.push((to_u64(row.try_get("number")?), workspace));
        }
        Ok(found)
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
        limit: PageLimit,
    ) -> Result<Option<Page>, StoreError> {
        // One transaction, so that the record and the events are of the same moment.
        let mut transaction = self.reader.begin().await?;
        let Some(record) = find(&mut transaction, id).await? else {
            return Ok(None);
        };
        Ok(Some(Page {
            oldest: Log::read(&mut transaction, id).await?.oldest,
            events: page(&mut transaction, id, after, limit).await?,
            record,
        }))
    }

    async fn drop_output(&self, settled_for: Duration) -> Result<u64, StoreError> {
        let before = self.run_time.millis_ago(settled_for);
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM workspaces WHERE settled = 1 AND log_run_ms <= ? ORDER BY number",
        )
        .bind(before)
        .fetch_all(&self.reader)
        .await?;
        let mut workspaces = 0;
        for id in ids.iter().filter_map(|id| id.parse::<WorkspaceId>().ok()) {
            let mut transaction = self.begin().await?;
            // A new attempt may have begun meanwhile.
            let settled: Option<i64> = sqlx::query_scalar(
                "SELECT number FROM workspaces WHERE id = ? AND settled = 1 AND log_run_ms <= ?",
            )
            .bind(id.as_str())
            .bind(before)
            .fetch_optional(&mut *transaction)
            .await?;
            if settled.is_none() {
                continue;
            }
            let mut log = Log::read(&mut transaction, &id).await?;
            log.drop_output(&mut transaction, &id).await?;
            log.write(&mut transaction, &id, None).await?;
            transaction.commit().await?;
            workspaces += 1;
        }
        if workspaces > 0 {
            self.shrink().await;
        }
        Ok(workspaces)
    }

    async fn owe_removal(&self, id: &WorkspaceId, node: &str) -> Result<(), StoreError> {
        owe_removal(&mut *self.writer.acquire().await?, id, node).await
    }

    async fn owes_removal(&self, id: &WorkspaceId, node: &str) -> Result<bool, StoreError> {
        let owes = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM owed_removals WHERE workspace_id = ? AND node = ?)",
        )
        .bind(id.as_str())
        .bind(node)
        .fetch_one(&self.reader);
        Ok(owes.await?)
    }

    async fn removed_from(&self, id: &WorkspaceId, node: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM owed_removals WHERE workspace_id = ? AND node = ?")
            .bind(id.as_str())
            .bind(node)
            .execute(&self.writer)
            .await?;
        Ok(())
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

async fn owe_removal(
    connection: &mut SqliteConnection,
    id: &WorkspaceId,
    node: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO owed_removals (workspace_id, node) VALUES (?, ?)")
        .bind(id.as_str())
        .bind(node)
        .execute(connection)
        .await?;
    Ok(())
}
