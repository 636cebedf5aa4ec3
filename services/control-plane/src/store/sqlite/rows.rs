//! Rows of SQLite as values.

use std::fmt;

use hearth_domain::{AttemptRef, WorkspaceId};
use prost::Message;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use crate::{
    record::{Progress, Record},
    store::{
        error::StoreError,
        workspaces::{Load, RequestId},
    },
};

pub(super) fn check_newest(record: &Record, attempt: &AttemptRef) -> Result<(), StoreError> {
    if record.workspace.attempt == attempt.number {
        Ok(())
    } else {
        Err(StoreError::AttemptOutdated(attempt.clone()))
    }
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: &WorkspaceId,
) -> Result<Option<Record>, StoreError> {
    sqlx::query("SELECT id, snapshot, progress FROM workspaces WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(record)
        .transpose()
}

/// What the nodes have to do that have workspaces.
pub(super) async fn loads(connection: &mut SqliteConnection) -> Result<Vec<Load>, StoreError> {
    sqlx::query(
        "SELECT node, count(*) AS workspaces, sum(settled = 0) AS unsettled FROM workspaces GROUP BY node",
    )
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(Load {
            node: row.try_get("node")?,
            unsettled: to_u64(row.try_get("unsettled")?),
            workspaces: to_u64(row.try_get("workspaces")?),
        })
    })
    .collect()
}

pub(super) async fn requested(
    connection: &mut SqliteConnection,
    request: Option<&RequestId>,
) -> Result<Option<Record>, StoreError> {
    let Some(request) = request else {
        return Ok(None);
    };
    let row = sqlx::query(
        "SELECT id, snapshot, progress, payload FROM requests JOIN workspaces ON workspaces.id = requests.workspace_id \
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
    id: &WorkspaceId,
) -> Result<(), StoreError> {
    if let Some(request) = request {
        sqlx::query("INSERT INTO requests (request_id, payload, workspace_id) VALUES (?, ?, ?)")
            .bind(&request.id)
            .bind(&request.payload)
            .bind(id.as_str())
            .execute(connection)
            .await?;
    }
    Ok(())
}

pub(super) fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    let id: &str = row.try_get("id")?;
    let snapshot = decode(row, "workspaces", id, "snapshot")?;
    let progress: Progress = decode(row, "workspaces", id, "progress")?;
    let record = Record::read(snapshot, progress)
        .map_err(|why| corrupt("workspaces", id, format_args!("snapshot: {why}")))?;
    if record.id.as_str() != id {
        let why = format_args!("snapshot: it is that of {}", record.id);
        return Err(corrupt("workspaces", id, why));
    }
    Ok(record)
}

/// The rows that can be read: one that cannot does not hide the others. Its error says what to do about it.
pub(super) fn readable<T>(
    rows: &[SqliteRow],
    read: impl Fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let read = rows.iter().map(|row| unless_corrupt(read(row)));
    read.filter_map(Result::transpose).collect()
}

/// What was read of a row; `None`, and logged, when it cannot be read.
pub(super) fn unless_corrupt<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!(%error, "left out");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Decodes a message; `key` names the row in the error.
pub(super) fn decode<M: Message + Default>(
    row: &SqliteRow,
    table: &'static str,
    key: impl fmt::Display,
    column: &'static str,
) -> Result<M, StoreError> {
    M::decode(row.try_get::<&[u8], _>(column)?)
        .map_err(|error| corrupt(table, key, format_args!("{column}: {error}")))
}

/// A value that cannot be read; `why` names it.
pub(super) fn corrupt(
    table: &'static str,
    key: impl fmt::Display,
    why: impl fmt::Display,
) -> StoreError {
    StoreError::Corrupt {
        table,
        row: key.to_string(),
        why: why.to_string(),
    }
}

/// SQLite has no unsigned integers; the numbers here are far below the limit.
pub(super) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
