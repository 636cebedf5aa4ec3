//! Rows of SQLite and what they stand for.

use prost::Message;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use crate::{
    record::{Progress, Record},
    store::{error::StoreError, workspaces::RequestId},
};

pub(super) fn check_newest(record: &Record, attempt: u32) -> Result<(), StoreError> {
    if record.workspace.attempt == attempt {
        Ok(())
    } else {
        Err(StoreError::AttemptOutdated {
            id: record.workspace.id.clone(),
            attempt,
        })
    }
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: &str,
) -> Result<Option<Record>, StoreError> {
    sqlx::query("SELECT snapshot, progress FROM workspaces WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(record)
        .transpose()
}

pub(super) async fn requested(
    connection: &mut SqliteConnection,
    request: Option<&RequestId>,
) -> Result<Option<Record>, StoreError> {
    let Some(request) = request else {
        return Ok(None);
    };
    let row = sqlx::query(
        "SELECT snapshot, progress, payload FROM requests JOIN workspaces ON workspaces.id = requests.workspace_id \
         WHERE request_id = ?",
    )
    .bind(&request.id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    if row.try_get::<&str, _>("payload")? != request.payload {
        return Err(StoreError::RequestIdReused);
    }
    record(&row).map(Some)
}

pub(super) async fn remember(
    connection: &mut SqliteConnection,
    request: Option<&RequestId>,
    id: &str,
) -> Result<(), StoreError> {
    if let Some(request) = request {
        sqlx::query("INSERT INTO requests (request_id, payload, workspace_id) VALUES (?, ?, ?)")
            .bind(&request.id)
            .bind(&request.payload)
            .bind(id)
            .execute(connection)
            .await?;
    }
    Ok(())
}

pub(super) fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    Ok(Record {
        workspace: decode(row, "snapshot")?,
        progress: decode::<Progress>(row, "progress")?,
    })
}

pub(super) fn decode<M: Message + Default>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<M, StoreError> {
    M::decode(row.try_get::<&[u8], _>(column)?)
        .map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
}

/// SQLite has no unsigned integers; no number here comes near the difference.
pub(super) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
