//! The log of a workspace. When it is too large output goes first, the oldest before the newest: what it showed is gone, and
//! every state and every result stays, unless they alone are too much.

use hearth_api::v1::Event;
use hearth_domain::WorkspaceId;
use hearth_runtime::events::is_progress;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::rows::{decode, to_i64, to_u64, unless_corrupt};
use crate::{
    record::LogEntry,
    store::{
        error::StoreError,
        workspaces::{HistoryLimits, PageLimit},
    },
};

/// Events looked at together when some have to go.
const ROWS: u32 = 64;

/// The stored log of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log {
    events: u64,
    bytes: u64,
    /// Sequence from which on it has no gaps.
    pub(super) oldest: u64,
}

/// What may be dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Droppable {
    Output,
    Everything,
}

impl Log {
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        id: &WorkspaceId,
    ) -> Result<Self, StoreError> {
        let row =
            sqlx::query("SELECT log_events, log_bytes, log_oldest FROM workspaces WHERE id = ?")
                .bind(id.as_str())
                .fetch_one(connection)
                .await?;
        Ok(Self {
            events: to_u64(row.try_get("log_events")?),
            bytes: to_u64(row.try_get("log_bytes")?),
            oldest: to_u64(row.try_get("log_oldest")?),
        })
    }

    /// Adds entries to the log, and drops what is too much.
    pub(super) async fn add(
        &mut self,
        connection: &mut SqliteConnection,
        id: &WorkspaceId,
        entries: &[LogEntry],
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        for entry in entries {
            let event = entry.event.encode_to_vec();
            self.events += 1;
            self.bytes += event.len() as u64;
            sqlx::query(
                "INSERT INTO events (workspace_id, sequence, attempt, agent_sequence, event) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(id.as_str())
            .bind(to_i64(entry.event.sequence))
            .bind(i64::from(entry.event.attempt))
            .bind(to_i64(entry.agent_sequence))
            .bind(event)
            .execute(&mut *connection)
            .await?;
        }
        if !self.fits(limits) {
            // A part more than needed: a flood of output must not look for old events again with every line.
            let room = HistoryLimits {
                events: limits.events - limits.events / 8,
                bytes: limits.bytes - limits.bytes / 8,
            };
            self.drop_oldest(connection, id, Droppable::Output, room)
                .await?;
        }
        if !self.fits(limits) {
            self.drop_oldest(connection, id, Droppable::Everything, limits)
                .await?;
        }
        Ok(())
    }

    /// Drops all output.
    pub(super) async fn drop_output(
        &mut self,
        connection: &mut SqliteConnection,
        id: &WorkspaceId,
    ) -> Result<(), StoreError> {
        let nothing = HistoryLimits {
            events: 0,
            bytes: 0,
        };
        self.drop_oldest(connection, id, Droppable::Output, nothing)
            .await
    }

    pub(super) async fn write(
        self,
        connection: &mut SqliteConnection,
        id: &WorkspaceId,
        grown_run_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE workspaces SET log_events = ?, log_bytes = ?, log_oldest = ?, log_run_ms = ? WHERE id = ?",
        )
        .bind(to_i64(self.events))
        .bind(to_i64(self.bytes))
        .bind(to_i64(self.oldest))
        .bind(grown_run_ms)
        .bind(id.as_str())
        .execute(connection)
        .await?;
        Ok(())
    }

    fn fits(self, limits: HistoryLimits) -> bool {
        self.events <= limits.events && self.bytes <= limits.bytes
    }

    /// Drops the oldest events of a kind until the log fits, or none of them is left.
    async fn drop_oldest(
        &mut self,
        connection: &mut SqliteConnection,
        id: &WorkspaceId,
        droppable: Droppable,
        limits: HistoryLimits,
    ) -> Result<(), StoreError> {
        let mut after = 0;
        while !self.fits(limits) {
            let rows = sqlx::query(
                "SELECT sequence, event FROM events WHERE workspace_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            )
            .bind(id.as_str())
            .bind(after)
            .bind(ROWS)
            .fetch_all(&mut *connection)
            .await?;
            let mut dropped = Vec::new();
            for row in &rows {
                after = row.try_get("sequence")?;
                let event: &[u8] = row.try_get("event")?;
                // What cannot be read is of no use to anybody.
                let output = Event::decode(event)
                    .map_or(true, |event| event.kind.as_ref().is_none_or(is_progress));
                if output || droppable == Droppable::Everything {
                    dropped.push(after);
                    self.events = self.events.saturating_sub(1);
                    self.bytes = self.bytes.saturating_sub(event.len() as u64);
                    self.oldest = self.oldest.max(to_u64(after) + 1);
                }
                if self.fits(limits) {
                    break;
                }
            }
            for sequence in dropped {
                sqlx::query("DELETE FROM events WHERE workspace_id = ? AND sequence = ?")
                    .bind(id.as_str())
                    .bind(sequence)
                    .execute(&mut *connection)
                    .await?;
            }
            if rows.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// The events after `after`, at least one if there is one.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    id: &WorkspaceId,
    after: u64,
    limit: PageLimit,
) -> Result<Vec<Event>, StoreError> {
    // Their lengths first: what is not wanted is not read.
    let sizes: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT sequence, length(event) FROM events WHERE workspace_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
    )
    .bind(id.as_str())
    .bind(to_i64(after))
    .bind(limit.items)
    .fetch_all(&mut *connection)
    .await?;
    let (mut last, mut bytes) = (None, 0);
    for (sequence, size) in sizes {
        bytes += to_u64(size);
        if bytes > limit.bytes && last.is_some() {
            break;
        }
        last = Some(sequence);
    }
    let Some(last) = last else {
        return Ok(Vec::new());
    };
    sqlx::query(
        "SELECT sequence, event FROM events WHERE workspace_id = ? AND sequence > ? AND sequence <= ? ORDER BY sequence",
    )
    .bind(id.as_str())
    .bind(to_i64(after))
    .bind(last)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        let sequence: i64 = row.try_get("sequence")?;
        let key = format_args!("{id} {sequence}");
        let event = unless_corrupt(decode(row, "events", key, "event"))?;
        // Readers ignore an event without a kind, and miss no number.
        Ok(event.unwrap_or_else(|| Event {
            sequence: to_u64(sequence),
            ..Event::default()
        }))
    })
    .collect()
}
