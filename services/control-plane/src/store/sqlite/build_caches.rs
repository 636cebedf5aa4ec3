use async_trait::async_trait;
use hearth_domain::{CacheRepository, ConfigName, Digest, DigestError, Platform, ServiceName};
use prost_types::Timestamp;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    database::Sqlite,
    rows::{corrupt, to_i64, to_u64},
};
use crate::{
    clock::millis,
    store::{
        build_caches::{BuildCache, BuildCacheStore, Readable},
        entry::Place,
        error::StoreError,
    },
};

#[async_trait]
impl BuildCacheStore for Sqlite {
    async fn newest_build_cache(
        &self,
        repository: &CacheRepository,
        config: Option<&ConfigName>,
        service: Option<&ServiceName>,
        platform: &Platform,
        now: Timestamp,
    ) -> Result<Readable, StoreError> {
        let newest = sqlx::query(
            "SELECT repository, key, digest FROM build_caches WHERE repository = ? AND config = ? AND service = ? \
             AND platform = ? ORDER BY rowid DESC LIMIT 1",
        )
        .bind(repository.as_str())
        .bind(config.map_or("", ConfigName::as_str))
        .bind(service.map_or("", ServiceName::as_str))
        .bind(platform.as_str())
        .fetch_optional(&self.reader)
        .await?;
        if let Some(row) = &newest {
            self.note_use(repository.as_str(), row.try_get("key")?, now)
                .await;
        }
        let generation =
            sqlx::query("SELECT generation FROM build_cache_generations WHERE repository = ?")
                .bind(repository.as_str())
                .fetch_optional(&self.reader)
                .await?;
        Ok(Readable {
            digest: newest.as_ref().map(digest).transpose()?,
            generation: match generation {
                Some(row) => to_u64(row.try_get("generation")?),
                None => 0,
            },
        })
    }

    async fn build_cache(&self, place: &Place, writer: &str) -> Result<Option<Digest>, StoreError> {
        let found = sqlx::query(
            "SELECT repository, key, digest FROM build_caches WHERE repository = ? AND key = ? AND workspace_id = ? LIMIT 1",
        )
        .bind(place.repository.as_str())
        .bind(place.key.as_str())
        .bind(writer)
        .fetch_optional(&self.reader)
        .await?;
        found.as_ref().map(digest).transpose()
    }

    async fn put_build_cache(
        &self,
        cache: &BuildCache,
        generation: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let put = sqlx::query(
            "INSERT OR REPLACE INTO build_caches (repository, config, service, platform, key, workspace_id, digest, \
             created_ms, used_run_ms) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE ? = coalesce( \
               (SELECT generation FROM build_cache_generations WHERE repository = ?), 0)",
        )
        .bind(cache.place.repository.as_str())
        .bind(cache.config.as_ref().map_or("", ConfigName::as_str))
        .bind(cache.service.as_ref().map_or("", ServiceName::as_str))
        .bind(cache.platform.as_str())
        .bind(cache.place.key.as_str())
        .bind(cache.writer.as_str())
        .bind(cache.digest.as_str())
        .bind(millis(&now))
        .bind(self.run_time.millis())
        .bind(to_i64(generation))
        .bind(cache.place.repository.as_str())
        .execute(&self.writer)
        .await?;
        Ok(put.rows_affected() > 0)
    }
}

fn digest(row: &SqliteRow) -> Result<Digest, StoreError> {
    let (repository, key): (String, String) = (row.try_get("repository")?, row.try_get("key")?);
    let digest: String = row.try_get("digest")?;
    digest.parse().map_err(|error: DigestError| {
        corrupt("build_caches", format_args!("{repository} {key}"), error)
    })
}
