use std::sync::Arc;

use hearth_api::v1::CacheStats;
use hearth_domain::CacheRepository;

use super::images::Images;
use crate::{
    error::CallError,
    store::{Entry, Selection, Store},
};

/// The index of images, as users see it.
pub(crate) struct Entries {
    store: Arc<dyn Store>,
    images: Arc<Images>,
}

impl Entries {
    pub(crate) fn new(store: Arc<dyn Store>, images: Arc<Images>) -> Self {
        Self { store, images }
    }

    /// At most `limit` entries with their numbers, newest first, beginning below `before`, without their manifests. `None`: of all
    /// repositories.
    pub(crate) async fn list(
        &self,
        repository: Option<&CacheRepository>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Option<Entry>)>, CallError> {
        Ok(self.store.cache_entries(repository, before, limit).await?)
    }

    /// Drops entries and their images, also where the registry keeps images: nothing that it has is adopted again. Returns
    /// what was dropped, without manifests, and what could not be done.
    pub(crate) async fn invalidate(
        &self,
        selection: Selection<'_>,
    ) -> Result<(Vec<Entry>, Vec<String>), CallError> {
        let mut entries = self.store.drop_cache_entries(selection).await?;
        if entries.is_empty() && !selection.key.is_empty() {
            return Err(CallError::CacheEntryUnknown);
        }
        tracing::info!(
            cache.repository = %selection.repository,
            entries = entries.len(),
            "cache entries dropped on request"
        );
        for entry in &mut entries {
            entry.manifest = None;
        }
        let warnings = self.images.delete(&entries).await?;
        Ok((entries, warnings))
    }

    /// The sum of all attempts, and the numbers of each repository that has a cache, most attempts first: of those whose URL
    /// `sees` lets through, which is empty where it is not known.
    pub(crate) async fn stats(
        &self,
        sees: impl Fn(&str) -> bool,
    ) -> Result<(CacheStats, Vec<CacheStats>), CallError> {
        let mut repositories = self.store.cache_stats().await?;
        repositories.retain(|one| sees(&one.source));
        let mut total = CacheStats::default();
        for one in &repositories {
            total.exact += one.exact;
            total.partial += one.partial;
            total.misses += one.misses;
            total.skipped += one.skipped;
            total.entries += one.entries;
            total.bytes += one.bytes;
            total.saved_seconds += one.saved_seconds;
        }
        // Attempts of repositories without a cache have no name to be listed under.
        repositories.retain(|one| !one.repository.is_empty());
        Ok((total, repositories))
    }
}
