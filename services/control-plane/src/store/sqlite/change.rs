use hearth_api::v1::{TtlAction, Workspace, WorkspaceState};
use hearth_domain::WorkspaceId;
use prost::Message as _;
use sqlx::SqliteConnection;

use super::{
    database::Sqlite,
    log::Log,
    rows::{find, to_i64},
};
use crate::{
    record::{LogEntry, Record, is_usable},
    store::{error::StoreError, workspaces::Change},
};

impl Sqlite {
    /// Reads a workspace, changes it, and writes it with the new entries of its log.
    pub(super) async fn change(
        &self,
        id: &WorkspaceId,
        change: impl FnOnce(&mut Record) -> Result<Vec<LogEntry>, StoreError> + Send,
    ) -> Result<Change, StoreError> {
        let mut transaction = self.begin().await?;
        let changed = self.change_in(&mut transaction, id, change).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    pub(super) async fn change_in(
        &self,
        connection: &mut SqliteConnection,
        id: &WorkspaceId,
        change: impl FnOnce(&mut Record) -> Result<Vec<LogEntry>, StoreError> + Send,
    ) -> Result<Change, StoreError> {
        let mut record = find(connection, id)
            .await?
            .ok_or_else(|| StoreError::WorkspaceUnknown(id.clone()))?;
        let before = Before::of(&record.workspace);
        let entries = change(&mut record)?;
        let run_ms = self.run_time.millis();
        if !entries.is_empty() {
            let mut log = Log::read(connection, id).await?;
            log.add(connection, id, &entries, self.history).await?;
            log.write(connection, id, Some(run_ms)).await?;
        }
        let workspace = &record.workspace;
        let limits = Limits::of(workspace);
        sqlx::query(
            "UPDATE workspaces SET node = ?, state = ?, settled = ?, snapshot = ?, progress = ?, container_id = ?, \
             ttl_ms = ?, idle_ms = ?, ttl_deletes = ?, begun_run_ms = coalesce(?, begun_run_ms), \
             used_run_ms = coalesce(?, used_run_ms) WHERE id = ?",
        )
        .bind(&workspace.node)
        .bind(workspace.state)
        .bind(workspace.settled)
        .bind(workspace.encode_to_vec())
        .bind(record.progress.encode_to_vec())
        .bind(watched_container(&record))
        .bind(limits.ttl_ms)
        .bind(limits.idle_ms)
        .bind(limits.ttl_deletes)
        .bind(before.begins(workspace).then_some(run_ms))
        .bind(before.is_used_by(workspace).then_some(run_ms))
        .bind(id.as_str())
        .execute(&mut *connection)
        .await?;
        Ok(Change { record, entries })
    }

    /// Writes a new workspace.
    pub(super) async fn insert(
        &self,
        connection: &mut SqliteConnection,
        record: &Record,
    ) -> Result<(), StoreError> {
        let workspace = &record.workspace;
        let limits = Limits::of(workspace);
        let run_ms = self.run_time.millis();
        sqlx::query(
            "INSERT INTO workspaces (id, node, state, settled, snapshot, progress, container_id, ttl_ms, idle_ms, \
             ttl_deletes, begun_run_ms, used_run_ms) VALUES (?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?)",
        )
        .bind(&workspace.id)
        .bind(&workspace.node)
        .bind(workspace.state)
        .bind(workspace.settled)
        .bind(workspace.encode_to_vec())
        .bind(record.progress.encode_to_vec())
        .bind(limits.ttl_ms)
        .bind(limits.idle_ms)
        .bind(limits.ttl_deletes)
        .bind(run_ms)
        .bind(run_ms)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// The container whose end is watched: that of a workspace that was ready, unless its end is in the log.
pub(super) fn watched_container(record: &Record) -> &str {
    let container = &record.workspace.container_id;
    match record.progress.ended_container == *container && is_usable(record.workspace.state()) {
        true => "",
        false => container,
    }
}

/// How long a workspace may run; `None`: without end.
struct Limits {
    ttl_ms: Option<i64>,
    idle_ms: Option<i64>,
    ttl_deletes: bool,
}

impl Limits {
    fn of(workspace: &Workspace) -> Self {
        let lifetime = workspace.lifetime.unwrap_or_default();
        let millis = |seconds: Option<u32>| {
            let seconds = seconds.filter(|seconds| *seconds > 0);
            seconds.map(|seconds| to_i64(u64::from(seconds) * 1000))
        };
        Self {
            ttl_ms: millis(lifetime.ttl_seconds),
            idle_ms: millis(lifetime.idle_timeout_seconds),
            ttl_deletes: lifetime.ttl_action() == TtlAction::Delete,
        }
    }
}

/// What tells whether a change begins the times of a workspace anew.
struct Before {
    attempt: u32,
    state: WorkspaceState,
    settled: bool,
}

impl Before {
    fn of(workspace: &Workspace) -> Self {
        Self {
            attempt: workspace.attempt,
            state: workspace.state(),
            settled: workspace.settled,
        }
    }

    /// A new attempt does.
    fn begins(&self, workspace: &Workspace) -> bool {
        self.attempt != workspace.attempt
    }

    /// Nobody is to find a workspace stopped that became usable a moment ago, or whose hooks have only now ended.
    fn is_used_by(&self, workspace: &Workspace) -> bool {
        self.begins(workspace)
            || self.settled != workspace.settled
            || !is_usable(self.state) && is_usable(workspace.state())
    }
}
