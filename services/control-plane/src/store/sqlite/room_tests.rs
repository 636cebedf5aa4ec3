use std::path::Path;

use hearth_api::v1::{Event, LogChunk, WorkspaceState, event::Kind};
use hearth_domain::{AttemptRef, WorkspaceId};
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::now,
    record::asked_for,
    store::{HistoryLimits, Load, Settings, Sqlite, Store, workspaces::WorkspaceStore as _},
};

const SETTINGS: Settings = Settings {
    history: HistoryLimits {
        events: 100_000,
        bytes: 64 * MIB,
    },
    min_free_mib: 0,
};

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("h.db");
    (directory, path)
}

fn on_n1(_: &[Load]) -> Option<String> {
    Some("n1".to_owned())
}

fn id(id: &str) -> WorkspaceId {
    id.parse().expect("an id")
}

/// Appends so many MiB of output.
async fn flood(store: &Sqlite, workspace: &str, first: u64, mib: u64) -> Result<(), StoreError> {
    let attempt = AttemptRef {
        workspace: id(workspace),
        number: 1,
    };
    for sequence in first..first + mib * 32 {
        let event = Event {
            sequence,
            attempt: 1,
            kind: Some(Kind::Log(LogChunk {
                text: "x".repeat(32 * 1024),
                ..LogChunk::default()
            })),
            ..Event::default()
        };
        store.append(&attempt, vec![event], now()).await?;
    }
    Ok(())
}

fn size(path: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    size(path) + size(&path.with_extension("db-wal"))
}

#[tokio::test]
async fn the_file_shrinks_when_a_workspace_is_deleted() {
    let (_directory, path) = directory();
    let store = Sqlite::open(&path, SETTINGS).await.expect("a store");
    for name in ["a", "b"] {
        let created = store.create(asked_for(name), None, &on_n1).await;
        created.expect("a workspace");
    }
    flood(&store, "a", 1, 20).await.expect("room");
    flood(&store, "b", 1, 1).await.expect("room");
    assert!(size(&path) > 20 * MIB, "{}", size(&path));
    store.forget(&id("a")).await.expect("a deletion");
    assert!(size(&path) < 3 * MIB, "{}", size(&path));
    let left = store.workspace(&id("b")).await.expect("a read");
    assert!(left.is_some());
}

#[tokio::test]
async fn a_database_from_before_is_made_to_shrink_when_there_is_room_for_it() {
    for (min_free_mib, shrinks) in [(u64::MAX, false), (0, true)] {
        let (_directory, path) = directory();
        let old = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .auto_vacuum(SqliteAutoVacuum::None);
        let old = SqlitePool::connect_with(old).await.expect("a database");
        sqlx::migrate!().run(&old).await.expect("a schema");
        old.close().await;
        let settings = Settings {
            min_free_mib,
            ..SETTINGS
        };
        let store = Sqlite::open(&path, settings).await.expect("a store");
        let created = store.create(asked_for("a"), None, &on_n1).await;
        created.expect("a workspace");
        flood(&store, "a", 1, 4).await.expect("room");
        store.forget(&id("a")).await.expect("a deletion");
        assert_eq!(size(&path) < MIB, shrinks, "{}", size(&path));
        store.close().await;
    }
}

#[tokio::test]
async fn after_a_full_disk_writes_work_again_and_nothing_is_half_written() {
    let (_directory, path) = directory();
    let store = Sqlite::open(&path, SETTINGS).await.expect("a store");
    let created = store.create(asked_for("a"), None, &on_n1).await;
    created.expect("a workspace");
    flood(&store, "a", 1, 1).await.expect("room");
    // As full as a disk can be made without one. It is the connection that has this limit.
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&store.writer)
        .await
        .expect("a number");
    let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 3));
    let limited = sqlx::query(limit).execute(&store.writer).await;
    limited.expect("a limit");

    let full = flood(&store, "a", 33, 1).await.expect_err("it is full");
    let told = full.outage().expect("it passes");
    assert!(told.contains("make room on its disk"), "{told}");
    let before = store.workspace(&id("a")).await.expect("a read");
    let workspace = before.expect("a workspace").workspace;
    assert_eq!(workspace.last_sequence, 32, "{workspace:?}");
    assert_eq!(workspace.state(), WorkspaceState::Pending);

    flood(&store, "a", 33, 1).await.expect("there is room");
    store.check().await.expect("it can be written");
    let after = store.workspace(&id("a")).await.expect("a read");
    assert_eq!(after.expect("a workspace").workspace.last_sequence, 64);
}

#[tokio::test]
async fn too_little_room_is_told_with_the_flag_to_change() {
    let (_directory, path) = directory();
    let settings = Settings {
        min_free_mib: u64::MAX / MIB,
        ..SETTINGS
    };
    let store = Sqlite::open(&path, settings).await.expect("a store");
    for error in [store.has_room(), store.check().await] {
        let error = error.expect_err("no disk is that large");
        let told = error.outage().expect("a sentence");
        assert!(told.contains("--database-min-free-mib"), "{told}");
    }
    // What is under way goes on.
    let created = store.create(asked_for("a"), None, &on_n1).await;
    created.expect("a workspace");
}
