use std::sync::Arc;

use hearth_domain::{AttemptRef, CacheKey, Digest, KeyedManifest};

use super::{
    resolve::{Decisions, Question, Resolving},
    retention::Retention,
    rules::{CacheRules, CacheUse},
    signing::Signing,
    waiting::Waiting,
};
use crate::{
    clock::now,
    error::CallError,
    record::Record,
    store::{Entry, Place, Store},
};

/// The index of images, as attempts use it.
pub(crate) struct Index {
    store: Arc<dyn Store>,
    rules: Arc<CacheRules>,
    waiting: Arc<Waiting>,
    resolving: Arc<Resolving>,
    signing: Arc<Signing>,
    retention: Arc<Retention>,
}

impl Index {
    pub(crate) fn new(
        resolving: Resolving,
        rules: Arc<CacheRules>,
        retention: Arc<Retention>,
    ) -> Self {
        Self {
            store: resolving.store.clone(),
            rules,
            waiting: resolving.waiting.clone(),
            signing: resolving.signing.clone(),
            resolving: Arc::new(resolving),
            retention,
        }
    }

    /// The workspace of an attempt that is its newest.
    pub(crate) async fn workspace(&self, attempt: &AttemptRef) -> Result<Record, CallError> {
        let record = self.store.workspace(&attempt.workspace).await?;
        record
            .filter(|record| record.attempt() == *attempt)
            .ok_or_else(|| CallError::AttemptUnknown {
                id: attempt.workspace.to_string(),
                attempt: attempt.number,
            })
    }

    /// How a workspace uses its cache; `None` where it does not.
    pub(crate) fn cache_use(&self, record: &Record) -> Option<CacheUse> {
        self.rules.cache_use(&record.spec).ok()
    }

    /// Whether there is an image for a key, or it is to be built; the stream ends with one of them.
    pub(crate) async fn resolve(
        &self,
        record: &Record,
        cache: CacheUse,
        key: CacheKey,
        manifest: Option<KeyedManifest>,
    ) -> Result<Decisions, CallError> {
        let resolving = self.resolving.clone();
        Question::new(resolving, record, cache, key, manifest)?
            .answer()
            .await
    }

    /// Enters an image, signed.
    pub(crate) async fn commit(&self, mut entry: Entry) -> Result<(), CallError> {
        self.signing.sign(&mut entry).await;
        self.store.put_cache_entry(&entry, now()).await?;
        // After the write: the attempts that this wakes read the index.
        self.waiting.committed(&entry.place);
        tracing::info!(
            workspace.id = entry.writer,
            cache.repository = %entry.place.repository,
            cache.key = %entry.place.key,
            cache.digest = %entry.digest,
            "cache entry committed"
        );
        self.signing.publish_later(entry);
        self.retention.retire().await;
        Ok(())
    }

    /// Drops an entry whose image the registry does not have any more.
    pub(crate) async fn drop_entry(
        &self,
        record: &Record,
        place: &Place,
        digest: &Digest,
    ) -> Result<(), CallError> {
        let dropped = self.store.drop_cache_entry(place, digest).await?;
        tracing::info!(
            workspace.id = %record.id,
            cache.repository = %place.repository,
            cache.key = %place.key,
            cache.digest = %digest,
            dropped,
            "the registry does not have this image any more"
        );
        Ok(())
    }
}
