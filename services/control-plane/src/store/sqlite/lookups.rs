use std::time::Duration;

use async_trait::async_trait;
use hearth_api::v1::{self, CacheEntry, CacheResult, CacheStats};
use hearth_domain::{AttemptRef, CacheKey, CacheRepository, ConfigName, GitRef, ServiceName};
use hearth_runtime::{FieldFaults, contract};
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
        entry::{Entry, Place, manifest, manifest_text},
        error::StoreError,
        lookups::{Decided, FetchRate, Lookup, LookupStore},
    },
};

#[async_trait]
impl LookupStore for Sqlite {
    async fn put_lookup(&self, lookup: &Lookup, now: Timestamp) -> Result<(), StoreError> {
        let decided: i64 = match lookup.decided {
            Decided::Hit => 1,
            Decided::Build => 2,
            Decided::Slower => 3,
        };
        let entry = lookup.entry.clone();
        sqlx::query(
            "INSERT OR REPLACE INTO cache_lookups (workspace_id, attempt, repository, ref, config, service, platform, key, \
             manifest, decision, entry, rate, created_ms, run_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(lookup.attempt.workspace.as_str())
        .bind(i64::from(lookup.attempt.number))
        .bind(lookup.place.repository.as_str())
        .bind(lookup.git_ref.to_string())
        .bind(lookup.config.as_ref().map_or("", ConfigName::as_str))
        .bind(lookup.service.as_ref().map_or("", ServiceName::as_str))
        .bind(lookup.platform.as_str())
        .bind(lookup.place.key.as_str())
        .bind(manifest_text(lookup.manifest.as_ref()))
        .bind(decided)
        .bind(entry.map(|entry| CacheEntry::from(entry).encode_to_vec()))
        .bind(lookup.rate)
        .bind(millis(&now))
        .bind(self.run_time.millis())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn put_finding(
        &self,
        attempt: &AttemptRef,
        key: &CacheKey,
        finding: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE cache_lookups SET finding = ? WHERE workspace_id = ? AND attempt = ? AND key = ?",
        )
        .bind(finding)
        .bind(attempt.workspace.as_str())
        .bind(i64::from(attempt.number))
        .bind(key.as_str())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn lookups(&self, attempt: &AttemptRef) -> Result<Vec<Lookup>, StoreError> {
        sqlx::query(
            "SELECT * FROM cache_lookups WHERE workspace_id = ? AND attempt = ? ORDER BY service",
        )
        .bind(attempt.workspace.as_str())
        .bind(i64::from(attempt.number))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(lookup)
        .collect()
    }

    async fn newest_lookups(
        &self,
        repository: &CacheRepository,
        git_ref: &GitRef,
        config: Option<&ConfigName>,
    ) -> Result<Vec<Lookup>, StoreError> {
        sqlx::query(
            "SELECT * FROM cache_lookups WHERE (workspace_id, attempt) = ( \
               SELECT workspace_id, attempt FROM cache_lookups WHERE repository = ? AND ref = ? AND config = ? \
               ORDER BY rowid DESC LIMIT 1) ORDER BY service",
        )
        .bind(repository.as_str())
        .bind(git_ref.to_string())
        .bind(config.map_or("", ConfigName::as_str))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(lookup)
        .collect()
    }

    async fn put_fetch_rate(&self, node: &str, rate: FetchRate) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT OR REPLACE INTO fetch_rates (node, bytes_per_second, passed_over, tried, run_ms) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(node)
        .bind(rate.bytes_per_second)
        .bind(rate.passed_over)
        .bind(rate.tried)
        .bind(self.run_time.millis_ago(rate.age))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    async fn fetch_rate(&self, node: &str) -> Result<Option<FetchRate>, StoreError> {
        let row = sqlx::query("SELECT * FROM fetch_rates WHERE node = ?")
            .bind(node)
            .fetch_optional(&self.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let age = self.run_time.millis() - row.try_get::<i64, _>("run_ms")?;
        Ok(Some(FetchRate {
            bytes_per_second: row.try_get("bytes_per_second")?,
            passed_over: row.try_get("passed_over")?,
            tried: row.try_get("tried")?,
            age: Duration::from_millis(to_u64(age)),
        }))
    }

    async fn count_cache_result(
        &self,
        repository: Option<&CacheRepository>,
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
        .bind(repository.map_or("", CacheRepository::as_str))
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
             coalesce(sum(cache_entries.bytes), 0) AS bytes, coalesce(max(cache_entries.source), '') AS source \
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
                source: row.try_get("source")?,
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
    let id: &str = row.try_get("workspace_id")?;
    let corrupt = |what: &str| corrupt("cache_lookups", id, what);
    let decided = match row.try_get::<i64, _>("decision")? {
        1 => Decided::Hit,
        2 => Decided::Build,
        3 => Decided::Slower,
        other => return Err(corrupt(&format!("decision {other}"))),
    };
    let entry = row
        .try_get::<Option<&[u8]>, _>("entry")?
        .map(CacheEntry::decode)
        .transpose()
        .map_err(|error| corrupt(&error.to_string()))?;
    let mut faults = FieldFaults::default();
    let attempt = v1::AttemptRef {
        workspace_id: id.to_owned(),
        attempt: row.try_get("attempt")?,
    };
    let attempt = contract::attempt(Some(&attempt), &mut faults);
    let repository = faults.check("repository", row.try_get::<&str, _>("repository")?.parse());
    let key = faults.check("key", row.try_get::<&str, _>("key")?.parse());
    let git_ref = faults.check("ref", row.try_get::<&str, _>("ref")?.parse());
    let config = faults.check_optional("config", row.try_get("config")?);
    let service = faults.check_optional("service", row.try_get("service")?);
    let platform = faults.check("platform", row.try_get::<&str, _>("platform")?.parse());
    let manifest = manifest(row.try_get("manifest")?, "manifest", &mut faults);
    let entry = match entry {
        None => Some(None),
        Some(entry) => Entry::read(entry, &mut faults).map(Some),
    };
    let rate = row.try_get("rate")?;
    let finding = row.try_get("finding")?;
    let lookup = || {
        Some(Lookup {
            attempt: attempt?,
            place: Place {
                repository: repository?,
                key: key?,
            },
            git_ref: git_ref?,
            config: config?,
            service: service?,
            platform: platform?,
            manifest: manifest?,
            decided,
            entry: entry?,
            rate,
            finding,
        })
    };
    faults
        .complete(lookup())
        .map_err(|fault| corrupt(fault.message()))
}
