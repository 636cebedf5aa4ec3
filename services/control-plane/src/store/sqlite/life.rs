use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use hearth_api::v1::WorkspaceState;
use hearth_domain::{AttemptRef, WorkspaceId};
use prost_types::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    change::watched_container,
    database::Sqlite,
    rows::{corrupt, readable, record},
};
use crate::{
    record::{LifeChange, NotNow, Record},
    store::{
        error::StoreError,
        life::{Ends, LifeStore, Watched},
        workspaces::Change,
    },
};

#[async_trait]
impl LifeStore for Sqlite {
    async fn live(
        &self,
        id: &WorkspaceId,
        attempt: Option<u32>,
        change: LifeChange,
        now: Timestamp,
    ) -> Result<Change, StoreError> {
        let renews = matches!(change, LifeChange::Renew(_));
        let mut transaction = self.begin().await?;
        let changed = self
            .change_in(&mut transaction, id, |record| {
                let newest = record.workspace.attempt;
                if attempt.is_some_and(|number| number != newest) {
                    return Err(StoreError::AttemptOutdated(record.attempt()));
                }
                record
                    .live(change, now)
                    .map_err(|NotNow(state)| match state {
                        WorkspaceState::Deleting => StoreError::Deleting(id.clone()),
                        state => StoreError::NotNow(id.clone(), state),
                    })
            })
            .await?;
        if renews {
            let run_ms = self.run_time.millis();
            sqlx::query("UPDATE workspaces SET begun_run_ms = ?, used_run_ms = ? WHERE id = ?")
                .bind(run_ms)
                .bind(run_ms)
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(changed)
    }

    async fn used(&self, ids: &HashSet<WorkspaceId>) -> Result<(), StoreError> {
        let run_ms = self.run_time.millis();
        let mut transaction = self.begin().await?;
        for id in ids {
            sqlx::query("UPDATE workspaces SET used_run_ms = ? WHERE id = ?")
                .bind(run_ms)
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn ending(&self, lead: Duration) -> Result<Vec<(AttemptRef, Ends)>, StoreError> {
        let now = self.run_time.millis();
        let until = now.saturating_add(i64::try_from(lead.as_millis()).unwrap_or(i64::MAX));
        // Whichever comes first. Deleted are those too that have failed or are stopped.
        let rows = sqlx::query(
            "SELECT * FROM (SELECT id, snapshot, progress, told_end_run_ms, told_for_run_ms, \
                 ttl_deletes, state, \
                 CASE WHEN settled = 1 AND (state IN (3, 4) OR (ttl_deletes = 1 AND state IN (5, 9))) \
                      THEN begun_run_ms + ttl_ms END AS ttl_end, \
                 CASE WHEN settled = 1 AND state IN (3, 4) THEN used_run_ms + idle_ms END AS idle_end \
             FROM workspaces WHERE ttl_ms IS NOT NULL OR idle_ms IS NOT NULL) \
             WHERE ttl_end <= ?1 OR idle_end <= ?1",
        )
        .bind(until)
        .fetch_all(&self.reader)
        .await?;
        readable(&rows, |row| ends(row, now))
    }

    async fn told(&self, id: &WorkspaceId, end: i64, told: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE workspaces SET told_for_run_ms = ?, told_end_run_ms = ? WHERE id = ?")
            .bind(end)
            .bind(told)
            .bind(id.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn watched(&self) -> Result<Vec<Watched>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, node, state, container_id, \
                 CASE WHEN container_id IS NULL THEN snapshot END AS snapshot, \
                 CASE WHEN container_id IS NULL THEN progress END AS progress \
             FROM workspaces WHERE state IN (3, 4, 8, 9) ORDER BY number",
        )
        .fetch_all(&self.reader)
        .await?;
        readable(&rows, watched)
    }

    async fn of_request(&self, request_id: &str) -> Result<Option<Record>, StoreError> {
        let row = sqlx::query(
            "SELECT id, snapshot, progress FROM requests JOIN workspaces ON workspaces.id = requests.workspace_id \
             WHERE request_id = ?",
        )
        .bind(request_id)
        .fetch_optional(&self.reader);
        row.await?.as_ref().map(record).transpose()
    }
}

fn ends(row: &SqliteRow, now: i64) -> Result<(AttemptRef, Ends), StoreError> {
    let record = record(row)?;
    let ttl: Option<i64> = row.try_get("ttl_end")?;
    let idle: Option<i64> = row.try_get("idle_end")?;
    let is_idle = match (ttl, idle) {
        (Some(ttl), Some(idle)) => idle < ttl,
        (ttl, _) => ttl.is_none(),
    };
    let end = ttl.into_iter().chain(idle).min().unwrap_or(i64::MAX);
    let told_for: i64 = row.try_get("told_for_run_ms")?;
    let told: i64 = row.try_get("told_end_run_ms")?;
    let ends = Ends {
        idle: is_idle,
        deletes: !is_idle && row.try_get("ttl_deletes")?,
        end,
        told: (told_for == end).then_some(told),
        now,
    };
    Ok((record.attempt(), ends))
}

fn watched(row: &SqliteRow) -> Result<Watched, StoreError> {
    let id: &str = row.try_get("id")?;
    let parsed = id.parse();
    let container_id = match row.try_get::<Option<String>, _>("container_id")? {
        Some(container_id) => container_id,
        None => watched_container(&record(row)?).to_owned(),
    };
    let state = WorkspaceState::try_from(row.try_get::<i32, _>("state")?);
    Ok(Watched {
        id: parsed.map_err(|error| corrupt("workspaces", id, error))?,
        node: row.try_get("node")?,
        state: state.unwrap_or_default(),
        container_id,
    })
}
