use hearth_api::v1::CacheEntry;
use prost_types::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    Sqlite, StoreError,
    sqlite_rows::{to_i64, to_u64},
};
use crate::clock::{from_millis, millis};

impl Sqlite {
    pub(super) async fn use_entry(
        &self,
        repository: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<CacheEntry>, StoreError> {
        sqlx::query(
            "UPDATE cache_entries SET last_used_ms = ? WHERE repository = ? AND key = ? RETURNING *",
        )
        .bind(millis(&now))
        .bind(repository)
        .bind(key)
        .fetch_optional(&self.writer)
        .await?
        .as_ref()
        .map(entry)
        .transpose()
    }

    pub(super) async fn newest_entry(
        &self,
        repository: &str,
        config: &str,
        platform: &str,
    ) -> Result<Option<CacheEntry>, StoreError> {
        sqlx::query(
            "SELECT * FROM cache_entries WHERE repository = ? AND config = ? AND platform = ? \
             ORDER BY created_ms DESC, rowid DESC LIMIT 1",
        )
        .bind(repository)
        .bind(config)
        .bind(platform)
        .fetch_optional(&self.reader)
        .await?
        .as_ref()
        .map(entry)
        .transpose()
    }

    pub(super) async fn write_entry(
        &self,
        entry: &CacheEntry,
        workspace_id: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // REPLACE gives the row a new rowid, so that it also counts as the newest within one millisecond.
        sqlx::query(
            "INSERT OR REPLACE INTO cache_entries (repository, key, digest, manifest, config, platform, commit_hash, \
             workspace_id, build_seconds, bytes, created_ms, last_used_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&entry.repository)
        .bind(&entry.key)
        .bind(&entry.digest)
        .bind(&entry.key_manifest)
        .bind(&entry.config)
        .bind(&entry.platform)
        .bind(&entry.commit)
        .bind(workspace_id)
        .bind(entry.build_seconds)
        .bind(to_i64(entry.bytes))
        .bind(millis(&now))
        .bind(millis(&now))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    pub(super) async fn delete_entry(
        &self,
        repository: &str,
        key: &str,
        digest: &str,
    ) -> Result<bool, StoreError> {
        let deleted = sqlx::query(
            "DELETE FROM cache_entries WHERE repository = ? AND key = ? AND digest = ?",
        )
        .bind(repository)
        .bind(key)
        .bind(digest)
        .execute(&self.writer)
        .await?;
        Ok(deleted.rows_affected() > 0)
    }
}

fn entry(row: &SqliteRow) -> Result<CacheEntry, StoreError> {
    Ok(CacheEntry {
        repository: row.try_get("repository")?,
        key: row.try_get("key")?,
        digest: row.try_get("digest")?,
        key_manifest: row.try_get("manifest")?,
        config: row.try_get("config")?,
        platform: row.try_get("platform")?,
        commit: row.try_get("commit_hash")?,
        build_seconds: row.try_get("build_seconds")?,
        bytes: to_u64(row.try_get("bytes")?),
        create_time: Some(from_millis(row.try_get("created_ms")?)),
        last_use_time: Some(from_millis(row.try_get("last_used_ms")?)),
        r#ref: String::new(),
        writer: row.try_get("workspace_id")?,
    })
}
