use async_trait::async_trait;
use hearth_api::v1::CacheEntry;
use prost_types::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    database::Sqlite,
    rows::{to_i64, to_u64},
};
use crate::{
    clock::{from_millis, millis},
    store::{
        entries::{EntryStore, Selection},
        error::StoreError,
    },
};

#[async_trait]
impl EntryStore for Sqlite {
    async fn cache_hit(
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

    async fn cache_entry(
        &self,
        repository: &str,
        key: &str,
    ) -> Result<Option<CacheEntry>, StoreError> {
        sqlx::query("SELECT * FROM cache_entries WHERE repository = ? AND key = ?")
            .bind(repository)
            .bind(key)
            .fetch_optional(&self.reader)
            .await?
            .as_ref()
            .map(entry)
            .transpose()
    }

    async fn newest_cache_entry(
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

    async fn put_cache_entry(&self, entry: &CacheEntry, now: Timestamp) -> Result<(), StoreError> {
        // REPLACE gives the row a new rowid, so that it also counts as the newest within one millisecond.
        sqlx::query(
            "INSERT OR REPLACE INTO cache_entries (repository, key, digest, manifest, config, platform, commit_hash, \
             ref, workspace_id, build_seconds, bytes, created_ms, last_used_ms) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&entry.repository)
        .bind(&entry.key)
        .bind(&entry.digest)
        .bind(&entry.key_manifest)
        .bind(&entry.config)
        .bind(&entry.platform)
        .bind(&entry.commit)
        .bind(&entry.r#ref)
        .bind(&entry.writer)
        .bind(entry.build_seconds)
        .bind(to_i64(entry.bytes))
        .bind(millis(&now))
        .bind(millis(&now))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn drop_cache_entry(
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

    async fn cache_entries(
        &self,
        repository: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, CacheEntry)>, StoreError> {
        sqlx::query(
            "SELECT rowid AS number, repository, key, digest, '' AS manifest, config, platform, commit_hash, ref, \
             workspace_id, build_seconds, bytes, created_ms, last_used_ms FROM cache_entries \
             WHERE (? = '' OR repository = ?) AND rowid < ? ORDER BY rowid DESC LIMIT ?",
        )
        .bind(repository)
        .bind(repository)
        .bind(before.map_or(i64::MAX, to_i64))
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(|row| Ok((to_u64(row.try_get("number")?), entry(row)?)))
        .collect()
    }

    async fn drop_cache_entries(
        &self,
        selection: Selection<'_>,
    ) -> Result<Vec<CacheEntry>, StoreError> {
        sqlx::query(
            "DELETE FROM cache_entries WHERE repository = ? AND (? IS NULL OR config = ?) \
             AND substr(key, 1, length(?)) = ? RETURNING *",
        )
        .bind(selection.repository)
        .bind(selection.config)
        .bind(selection.config)
        .bind(selection.key)
        .bind(selection.key)
        .fetch_all(&self.writer)
        .await?
        .iter()
        .map(entry)
        .collect()
    }

    async fn retire_cache_entries(
        &self,
        keep: u32,
        since: Timestamp,
    ) -> Result<Vec<CacheEntry>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let retired = sqlx::query(
            "DELETE FROM cache_entries WHERE last_used_ms < ? OR rowid IN ( \
               SELECT number FROM ( \
                 SELECT rowid AS number, row_number() OVER ( \
                   PARTITION BY repository, config, platform ORDER BY created_ms DESC, rowid DESC) AS place \
                 FROM cache_entries WHERE last_used_ms >= ?) \
               WHERE place > ?) RETURNING *",
        )
        .bind(millis(&since))
        .bind(millis(&since))
        .bind(i64::from(keep))
        .fetch_all(&mut *transaction)
        .await?
        .iter()
        .map(entry)
        .collect::<Result<_, _>>()?;
        sqlx::query(
            "DELETE FROM cache_lookups WHERE created_ms < ? \
             AND NOT EXISTS (SELECT 1 FROM workspaces WHERE id = workspace_id) AND EXISTS ( \
               SELECT 1 FROM cache_lookups AS newer WHERE newer.repository = cache_lookups.repository \
               AND newer.ref = cache_lookups.ref AND newer.config = cache_lookups.config \
               AND newer.created_ms > cache_lookups.created_ms)",
        )
        .bind(millis(&since))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(retired)
    }

    async fn is_cached(&self, repository: &str, digest: &str) -> Result<bool, StoreError> {
        let found =
            sqlx::query("SELECT 1 FROM cache_entries WHERE repository = ? AND digest = ? LIMIT 1")
                .bind(repository)
                .bind(digest)
                .fetch_optional(&self.reader)
                .await?;
        Ok(found.is_some())
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
        r#ref: row.try_get("ref")?,
        writer: row.try_get("workspace_id")?,
    })
}
