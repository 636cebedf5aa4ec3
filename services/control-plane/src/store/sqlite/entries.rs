use std::time::Duration;

use async_trait::async_trait;
use hearth_api::v1::CacheEntry;
use hearth_domain::{CacheKey, CacheRepository, ConfigName, Digest, Platform, ServiceName};
use hearth_runtime::FieldFaults;
use hearth_signatures::Signature;
use prost_types::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    database::Sqlite,
    rows::{corrupt, to_i64, to_u64, unless_corrupt},
};
use crate::{
    clock::{from_millis, millis},
    store::{
        entries::{EntryStore, Selection},
        entry::{Entry, Place},
        error::StoreError,
    },
};

/// What was found so recently is in use, over weekends too.
const IN_USE: Duration = Duration::from_secs(3 * 24 * 3600);

#[async_trait]
impl EntryStore for Sqlite {
    async fn cache_hit(&self, place: &Place, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let hit = self.cache_entry(place).await?;
        if hit.is_some() {
            self.note_cache_use(place, now).await;
        }
        Ok(hit)
    }

    async fn note_cache_use(&self, place: &Place, now: Timestamp) {
        self.note_use(place.repository.as_str(), place.key.as_str(), now)
            .await;
    }

    async fn cache_entry(&self, place: &Place) -> Result<Option<Entry>, StoreError> {
        sqlx::query("SELECT * FROM cache_entries WHERE repository = ? AND key = ?")
            .bind(place.repository.as_str())
            .bind(place.key.as_str())
            .fetch_optional(&self.reader)
            .await?
            .as_ref()
            .map(entry)
            .transpose()
    }

    async fn newest_cache_entry(
        &self,
        repository: &CacheRepository,
        config: Option<&ConfigName>,
        service: Option<&ServiceName>,
        platform: &Platform,
    ) -> Result<Option<Entry>, StoreError> {
        sqlx::query(
            "SELECT * FROM cache_entries WHERE repository = ? AND config = ? AND platform = ? AND service = ? \
             ORDER BY rowid DESC LIMIT 1",
        )
        .bind(repository.as_str())
        .bind(config.map_or("", ConfigName::as_str))
        .bind(platform.as_str())
        .bind(service.map_or("", ServiceName::as_str))
        .fetch_optional(&self.reader)
        .await?
        .as_ref()
        .map(entry)
        .transpose()
    }

    async fn newest_of_refs(
        &self,
        repository: &CacheRepository,
        config: Option<&ConfigName>,
        platform: &Platform,
        refs: &[String],
    ) -> Result<Option<Entry>, StoreError> {
        // A ref has no character 10.
        sqlx::query(
            "SELECT * FROM cache_entries WHERE repository = ? AND config = ? AND platform = ? \
             AND instr(char(10) || ? || char(10), char(10) || ref || char(10)) > 0 ORDER BY rowid DESC LIMIT 1",
        )
        .bind(repository.as_str())
        .bind(config.map_or("", ConfigName::as_str))
        .bind(platform.as_str())
        .bind(refs.join("\n"))
        .fetch_optional(&self.reader)
        .await?
        .as_ref()
        .map(entry)
        .transpose()
    }

    async fn newest_of_services(
        &self,
        repository: &CacheRepository,
        config: Option<&ConfigName>,
        platform: &Platform,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        sqlx::query(
            "SELECT repository, key, digest, '' AS manifest, config, service, platform, commit_hash, ref, \
             workspace_id, source, build_seconds, bytes, signature, created_ms, last_used_ms FROM cache_entries WHERE rowid IN ( \
               SELECT max(rowid) FROM cache_entries WHERE repository = ? AND config = ? AND platform = ? \
               AND service <> '' GROUP BY service) ORDER BY rowid DESC LIMIT ?",
        )
        .bind(repository.as_str())
        .bind(config.map_or("", ConfigName::as_str))
        .bind(platform.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(entry)
        .collect()
    }

    async fn put_cache_entry(&self, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        let entry = CacheEntry::from(entry.clone());
        let mut transaction = self.begin().await?;
        let removed = sqlx::query(
            "SELECT 1 FROM cache_removals WHERE repository = ? AND (key = ? OR (key = '' AND config IN (?, '*'))) \
             AND last_lookup >= coalesce((SELECT max(rowid) FROM cache_lookups WHERE workspace_id = ?), 0) LIMIT 1",
        )
        .bind(&entry.repository)
        .bind(&entry.key)
        .bind(&entry.config)
        .bind(&entry.writer)
        .fetch_optional(&mut *transaction)
        .await?;
        if removed.is_some() {
            return Ok(false);
        }
        sqlx::query("DELETE FROM cache_removals WHERE repository = ? AND key = ?")
            .bind(&entry.repository)
            .bind(&entry.key)
            .execute(&mut *transaction)
            .await?;
        // REPLACE gives the row a new rowid, so that it also counts as the newest within one millisecond.
        sqlx::query(
            "INSERT OR REPLACE INTO cache_entries (repository, key, digest, manifest, config, service, platform, commit_hash, \
             ref, workspace_id, source, build_seconds, bytes, signature, created_ms, last_used_ms, entered_run_ms, \
             found_run_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
             (SELECT found_run_ms FROM cache_entries WHERE repository = ? AND key = ?))",
        )
        .bind(&entry.repository)
        .bind(&entry.key)
        .bind(&entry.digest)
        .bind(&entry.key_manifest)
        .bind(&entry.config)
        .bind(&entry.service)
        .bind(&entry.platform)
        .bind(&entry.commit)
        .bind(&entry.r#ref)
        .bind(&entry.writer)
        .bind(&entry.source)
        .bind(entry.build_seconds)
        .bind(to_i64(entry.bytes))
        .bind(&entry.signature)
        .bind(millis(&now))
        .bind(millis(&now))
        .bind(self.run_time.millis())
        .bind(&entry.repository)
        .bind(&entry.key)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn sign_cache_entry(
        &self,
        place: &Place,
        digest: &Digest,
        signature: &Signature,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE cache_entries SET signature = ? WHERE repository = ? AND key = ? AND digest = ?",
        )
        .bind(signature.as_der())
        .bind(place.repository.as_str())
        .bind(place.key.as_str())
        .bind(digest.as_str())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn drop_cache_entry(&self, place: &Place, digest: &Digest) -> Result<bool, StoreError> {
        let deleted = sqlx::query(
            "DELETE FROM cache_entries WHERE repository = ? AND key = ? AND digest = ?",
        )
        .bind(place.repository.as_str())
        .bind(place.key.as_str())
        .bind(digest.as_str())
        .execute(&self.writer)
        .await?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn cache_entries(
        &self,
        repository: Option<&CacheRepository>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Option<Entry>)>, StoreError> {
        sqlx::query(
            "SELECT rowid AS number, repository, key, digest, '' AS manifest, config, service, platform, commit_hash, ref, \
             workspace_id, source, build_seconds, bytes, signature, created_ms, last_used_ms FROM cache_entries \
             WHERE (? IS NULL OR repository = ?) AND rowid < ? ORDER BY rowid DESC LIMIT ?",
        )
        .bind(repository.map(CacheRepository::as_str))
        .bind(repository.map(CacheRepository::as_str))
        .bind(before.map_or(i64::MAX, to_i64))
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(|row| Ok((to_u64(row.try_get("number")?), unless_corrupt(entry(row))?)))
        .collect()
    }

    async fn drop_cache_entries(&self, selection: Selection<'_>) -> Result<Vec<Entry>, StoreError> {
        let mut transaction = self.begin().await?;
        let dropped = sqlx::query(
            "DELETE FROM cache_entries WHERE repository = ? AND (? IS NULL OR config = ?) \
             AND substr(key, 1, length(?)) = ? RETURNING *",
        )
        .bind(selection.repository.as_str())
        .bind(selection.config)
        .bind(selection.config)
        .bind(selection.key)
        .bind(selection.key)
        .fetch_all(&mut *transaction)
        .await?;
        let mut removed = Vec::with_capacity(dropped.len() + 1);
        for row in &dropped {
            removed.push((row.try_get("key")?, row.try_get("config")?));
        }
        if selection.key.is_empty() {
            removed.push(("", selection.config.unwrap_or("*")));
        } else if dropped.is_empty() && selection.key.parse::<CacheKey>().is_ok() {
            removed.push((selection.key, selection.config.unwrap_or("*")));
        }
        for (key, config) in removed {
            sqlx::query(
                "INSERT OR REPLACE INTO cache_removals (repository, key, config, last_lookup) \
                 VALUES (?, ?, ?, (SELECT coalesce(max(rowid), 0) FROM cache_lookups))",
            )
            .bind(selection.repository.as_str())
            .bind(key)
            .bind(config)
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query("DELETE FROM build_caches WHERE repository = ? AND (? IS NULL OR config = ?)")
            .bind(selection.repository.as_str())
            .bind(selection.config)
            .bind(selection.config)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO build_cache_generations (repository, generation) VALUES (?, 1) \
             ON CONFLICT (repository) DO UPDATE SET generation = generation + 1",
        )
        .bind(selection.repository.as_str())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(readable(&dropped))
    }

    async fn retire_cache_entries(
        &self,
        keep: u32,
        unused_for: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        let since = self.run_time.millis_ago(unused_for);
        let mut transaction = self.begin().await?;
        let retired = sqlx::query(
            "DELETE FROM cache_entries WHERE rowid IN ( \
               SELECT number FROM ( \
                 SELECT number, used, in_use, \
                   row_number() OVER (PARTITION BY repository, config, service, platform \
                     ORDER BY in_use DESC, used DESC, last_used_ms DESC, number DESC) AS place, \
                   row_number() OVER (PARTITION BY repository, config, service, platform ORDER BY number DESC) AS age \
                 FROM ( \
                   SELECT rowid AS number, repository, config, service, platform, last_used_ms, \
                     max(entered_run_ms, coalesce(found_run_ms, entered_run_ms)) AS used, \
                     found_run_ms IS NOT NULL AND found_run_ms >= ? AS in_use \
                   FROM cache_entries)) \
               WHERE used < ? OR (NOT in_use AND age > 1 AND place > ?)) RETURNING *",
        )
        .bind(self.run_time.millis_ago(IN_USE))
        .bind(since)
        .bind(i64::from(keep))
        .fetch_all(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM cache_lookups WHERE run_ms < ? \
             AND NOT EXISTS (SELECT 1 FROM workspaces WHERE id = workspace_id) AND EXISTS ( \
               SELECT 1 FROM cache_lookups AS newer WHERE newer.repository = cache_lookups.repository \
               AND newer.ref = cache_lookups.ref AND newer.config = cache_lookups.config \
               AND newer.service = cache_lookups.service AND newer.rowid > cache_lookups.rowid)",
        )
        .bind(since)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM build_caches WHERE used_run_ms < ?")
            .bind(since)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(readable(&retired))
    }

    async fn is_cached(
        &self,
        repository: &CacheRepository,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let found =
            sqlx::query("SELECT 1 FROM cache_entries WHERE repository = ? AND digest = ? LIMIT 1")
                .bind(repository.as_str())
                .bind(digest.as_str())
                .fetch_optional(&self.reader)
                .await?;
        Ok(found.is_some())
    }
}

/// The entries of rows that are gone from the table. One that cannot be read is logged and left out: it is of no use, and
/// the others still name images to delete.
fn readable(rows: &[SqliteRow]) -> Vec<Entry> {
    let read = |row| entry(row).inspect_err(|error| tracing::error!(%error, "dropped unread"));
    rows.iter().filter_map(|row| read(row).ok()).collect()
}

fn entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    let message = CacheEntry {
        repository: row.try_get("repository")?,
        key: row.try_get("key")?,
        digest: row.try_get("digest")?,
        key_manifest: row.try_get("manifest")?,
        config: row.try_get("config")?,
        service: row.try_get("service")?,
        platform: row.try_get("platform")?,
        commit: row.try_get("commit_hash")?,
        build_seconds: row.try_get("build_seconds")?,
        bytes: to_u64(row.try_get("bytes")?),
        create_time: Some(from_millis(row.try_get("created_ms")?)),
        last_use_time: Some(from_millis(row.try_get("last_used_ms")?)),
        r#ref: row.try_get("ref")?,
        writer: row.try_get("workspace_id")?,
        source: row.try_get("source")?,
        signature: row.try_get("signature")?,
        build_cache: String::new(),
    };
    let row = format!("{} {}", message.repository, message.key);
    let mut faults = FieldFaults::default();
    let entry = Entry::read(message, &mut faults);
    faults
        .complete(entry)
        .map_err(|fault| corrupt("cache_entries", row, fault.message()))
}
