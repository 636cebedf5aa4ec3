//! The disk that the database is on: how much of it is free, and how the file gives back what it does not need any more.

use std::path::{Path, PathBuf};

use sqlx::SqlitePool;

use crate::store::error::StoreError;

const MIB: u64 = 1024 * 1024;
/// Pages that are given back at once, so that no writer waits for long.
const PAGES: u32 = 1024;
/// A larger database is not converted: the start would take minutes.
const MAX_CONVERTED: u64 = 2 * 1024 * MIB;

/// The disk of the database.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    /// Free bytes below which no work is taken.
    least_free: u64,
}

impl Disk {
    pub(super) fn of(database: &Path, least_free_mib: u64) -> Self {
        let folder = database.parent().unwrap_or(Path::new(""));
        Self {
            // A path without a folder is one in the current folder.
            folder: match folder.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => folder.to_owned(),
            },
            least_free: least_free_mib.saturating_mul(MIB),
        }
    }

    /// Whether there is room for more work.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.free() {
            // A disk that cannot be asked is no reason to refuse work.
            Some(free) if free < self.least_free => Err(StoreError::LittleRoom {
                folder: self.folder.clone(),
                free_mib: free / MIB,
                least_mib: self.least_free / MIB,
            }),
            _ => Ok(()),
        }
    }

    fn free(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.folder).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Makes a database from before give back its free pages, if there is room for the copy that this takes.
    pub(super) async fn convert(&self, writer: &SqlitePool) -> Result<(), sqlx::Error> {
        const INCREMENTAL: i64 = 2;
        let number = async |pragma: &'static str| -> Result<i64, sqlx::Error> {
            sqlx::query_scalar(pragma).fetch_one(writer).await
        };
        if number("PRAGMA auto_vacuum").await? == INCREMENTAL {
            return Ok(());
        }
        let pages = number("PRAGMA page_count").await? - number("PRAGMA freelist_count").await?;
        let bytes = pages.unsigned_abs() * number("PRAGMA page_size").await?.unsigned_abs();
        // It is written twice: into a file of its own, and into the write-ahead log.
        let room = self
            .free()
            .is_none_or(|free| free > self.least_free.saturating_add(3 * bytes));
        if bytes > MAX_CONVERTED || !room {
            tracing::warn!(
                bytes,
                "the database file does not shrink when workspaces are removed: it is too large to be converted, or its \
                 disk has too little room; stop the control plane and run `sqlite3 FILE 'PRAGMA auto_vacuum = 2; VACUUM'`"
            );
            return Ok(());
        }
        let mut connection = writer.acquire().await?;
        sqlx::query("PRAGMA auto_vacuum = INCREMENTAL")
            .execute(&mut *connection)
            .await?;
        sqlx::query("VACUUM").execute(&mut *connection).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut *connection)
            .await?;
        tracing::info!(
            bytes,
            "the database file was converted: it shrinks from now on when workspaces are removed"
        );
        Ok(())
    }
}

/// Gives free pages back to the disk. A failure is no failure of the deletion before it: the next one tries again.
pub(super) async fn shrink(writer: &SqlitePool) {
    let shrink = async {
        let mut free = i64::MAX;
        loop {
            let left: i64 = sqlx::query_scalar("PRAGMA freelist_count")
                .fetch_one(writer)
                .await?;
            if left == 0 || left >= free {
                break;
            }
            free = left;
            let pages = sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({PAGES})"));
            sqlx::query(pages).execute(writer).await?;
        }
        // The file shrinks when the write-ahead log is moved into it.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(writer)
            .await?;
        Ok::<_, sqlx::Error>(())
    };
    if let Err(error) = shrink.await {
        tracing::warn!(%error, "the database file was not shrunk; the next deletion tries again");
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
