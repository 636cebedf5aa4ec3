use std::time::Duration;

use prost_types::Timestamp;

use super::database::Sqlite;
use crate::{clock::millis, store::error::StoreError};

/// A use is noted once in this time.
const NOTED_FOR: Duration = Duration::from_secs(3600);

impl Sqlite {
    /// See [`EntryStore::note_cache_use`](crate::store::entries::EntryStore::note_cache_use).
    pub(super) async fn note_use(&self, repository: &str, key: &str, now: Timestamp) {
        let (run, before) = (self.run_time.millis(), self.run_time.millis_ago(NOTED_FOR));
        let noted = async {
            let is_due: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM cache_entries WHERE repository = ? AND key = ? \
                 AND coalesce(found_run_ms <= ?, TRUE)) \
                 OR EXISTS (SELECT 1 FROM build_caches WHERE repository = ? AND key = ? AND used_run_ms <= ?)",
            )
            .bind(repository)
            .bind(key)
            .bind(before)
            .bind(repository)
            .bind(key)
            .bind(before)
            .fetch_one(&self.reader)
            .await?;
            if !is_due {
                return Ok(());
            }
            let mut transaction = self.begin().await?;
            sqlx::query(
                "UPDATE cache_entries SET found_run_ms = ?, last_used_ms = ? WHERE repository = ? AND key = ?",
            )
            .bind(run)
            .bind(millis(&now))
            .bind(repository)
            .bind(key)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("UPDATE build_caches SET used_run_ms = ? WHERE repository = ? AND key = ?")
                .bind(run)
                .bind(repository)
                .bind(key)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok::<_, StoreError>(())
        };
        if let Err(error) = noted.await {
            tracing::warn!(cache.repository = repository, cache.key = key, %error, "the use of an image is not noted");
        }
    }
}
