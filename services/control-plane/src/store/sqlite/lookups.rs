use async_trait::async_trait;
use hearth_api::v1::{CacheEntry, CacheResult, CacheStats};
use prost::Message as _;
use prost_types::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    database::Sqlite,
    rows::{corrupt, to_u64},
};
use crate::{
    clock::millis,
    store::{
        error::StoreError,
        lookups::{Decided, Lookup, LookupStore},
    },
};

/// Weight of the newest fetch in a node's average: three fetches make up most of it.
const NEWEST_FETCH: f64 = 0.3;

#[async_trait]
impl LookupStore for Sqlite {
    async fn put_lookup(&self, lookup: &Lookup, now: Timestamp) -> Result<(), StoreError> {
        let decided: i64 = match lookup.decided {
            Decided::Hit => 1,
            Decided::Build => 2,
            Decided::Slower => 3,
        };
        sqlx::query(
            "INSERT OR REPLACE INTO cache_lookups (workspace_id, attempt, repository, ref, config, platform, key, \
             manifest, decision, entry, rate, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&lookup.workspace_id)
        .bind(i64::from(lookup.attempt))
        .bind(&lookup.repository)
        .bind(&lookup.git_ref)
        .bind(&lookup.config)
        .bind(&lookup.platform)
        .bind(&lookup.key)
        .bind(&lookup.manifest)
        .bind(decided)
        .bind(lookup.entry.as_ref().map(CacheEntry::encode_to_vec))
        .bind(lookup.rate)
        .bind(millis(&now))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn lookup(&self, workspace_id: &str, attempt: u32) -> Result<Option<Lookup>, StoreError> {
        sqlx::query("SELECT * FROM cache_lookups WHERE workspace_id = ? AND attempt = ?")
            .bind(workspace_id)
            .bind(i64::from(attempt))
            .fetch_optional(&self.reader)
            .await?
            .as_ref()
            .map(lookup)
            .transpose()
    }

    async fn newest_lookup(
        &self,
        repository: &str,
        git_ref: &str,
        config: &str,
    ) -> Result<Option<Lookup>, StoreError> {
        sqlx::query(
            "SELECT * FROM cache_lookups WHERE repository = ? AND ref = ? AND config = ? \
             ORDER BY created_ms DESC, rowid DESC LIMIT 1",
        )
        .bind(repository)
        .bind(git_ref)
        .bind(config)
        .fetch_optional(&self.reader)
        .await?
        .as_ref()
        .map(lookup)
        .transpose()
    }

    async fn note_fetch(&self, node: &str, bytes_per_second: f64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO fetch_rates (node, bytes_per_second) VALUES (?, ?) ON CONFLICT (node) DO UPDATE \
             SET bytes_per_second = bytes_per_second + ? * (excluded.bytes_per_second - bytes_per_second)",
        )
        .bind(node)
        .bind(bytes_per_second)
        .bind(NEWEST_FETCH)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn fetch_rate(&self, node: &str) -> Result<Option<f64>, StoreError> {
        let rate = sqlx::query_scalar("SELECT bytes_per_second FROM fetch_rates WHERE node = ?")
            .bind(node)
            .fetch_optional(&self.reader)
            .await?;
        Ok(rate)
    }

    async fn count_cache_result(
        &self,
        repository: &str,
        result: CacheResult,
        saved_seconds: f64,
    ) -> Result<(), StoreError> {
        let one = |of: CacheResult| i64::from(result == of);
        sqlx::query(
            "INSERT INTO cache_results (repository, exact, partial, misses, skipped, saved_seconds) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (repository) DO UPDATE SET exact = exact + excluded.exact, \
             partial = partial + excluded.partial, misses = misses + excluded.misses, \
             skipped = skipped + excluded.skipped, saved_seconds = saved_seconds + excluded.saved_seconds",
        )
        .bind(repository)
        .bind(one(CacheResult::Exact))
        .bind(one(CacheResult::Partial))
        .bind(one(CacheResult::Miss))
        .bind(one(CacheResult::Skipped))
        .bind(saved_seconds)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn cache_stats(&self) -> Result<Vec<CacheStats>, StoreError> {
        sqlx::query(
            "SELECT names.repository, coalesce(exact, 0) AS exact, coalesce(partial, 0) AS partial, \
             coalesce(misses, 0) AS misses, coalesce(skipped, 0) AS skipped, \
             coalesce(saved_seconds, 0.0) AS saved_seconds, count(cache_entries.key) AS entries, \
             coalesce(sum(cache_entries.bytes), 0) AS bytes \
             FROM (SELECT repository FROM cache_results UNION SELECT repository FROM cache_entries) AS names \
             LEFT JOIN cache_results ON cache_results.repository = names.repository \
             LEFT JOIN cache_entries ON cache_entries.repository = names.repository \
             GROUP BY names.repository \
             ORDER BY coalesce(exact + partial + misses + skipped, 0) DESC, names.repository",
        )
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(|row| {
            Ok(CacheStats {
                repository: row.try_get("repository")?,
                exact: to_u64(row.try_get("exact")?),
                partial: to_u64(row.try_get("partial")?),
                misses: to_u64(row.try_get("misses")?),
                skipped: to_u64(row.try_get("skipped")?),
                entries: to_u64(row.try_get("entries")?),
                bytes: to_u64(row.try_get("bytes")?),
                saved_seconds: f64::max(row.try_get("saved_seconds")?, 0.0),
            })
        })
        .collect()
    }
}

fn lookup(row: &SqliteRow) -> Result<Lookup, StoreError> {
    let key: &str = row.try_get("workspace_id")?;
    let corrupt = |what: String| corrupt("cache_lookups", key, what);
    let decided = match row.try_get::<i64, _>("decision")? {
        1 => Decided::Hit,
        2 => Decided::Build,
        3 => Decided::Slower,
        other => return Err(corrupt(format!("decision {other}"))),
    };
    let entry = row
        .try_get::<Option<&[u8]>, _>("entry")?
        .map(CacheEntry::decode)
        .transpose()
        .map_err(|error| corrupt(error.to_string()))?;
    Ok(Lookup {
        workspace_id: row.try_get("workspace_id")?,
        attempt: row.try_get("attempt")?,
        repository: row.try_get("repository")?,
        git_ref: row.try_get("ref")?,
        config: row.try_get("config")?,
        platform: row.try_get("platform")?,
        key: row.try_get("key")?,
        manifest: row.try_get("manifest")?,
        decided,
        entry,
        rate: row.try_get("rate")?,
    })
}
