use std::sync::Arc;

use hearth_api::v1::ImageStore;
use hearth_domain::{AttemptRef, CacheKey, Digest, KeyedManifest};

use super::{
    claims::Claims,
    resolve::{Decisions, Question, Resolving},
    retention::Retention,
    rules::{CacheRules, CacheUse},
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
    retention: Arc<Retention>,
    claims: Claims,
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
            claims: Claims::new(
                resolving.store.clone(),
                resolving.registry.clone(),
                resolving.fleet.clone(),
            ),
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

    /// Enters an image that an attempt has built and pushed, as the registry has it.
    pub(crate) async fn commit(
        &self,
        record: &Record,
        cache: &CacheUse,
        entry: Entry,
    ) -> Result<(), CallError> {
        let entry = self.claims.pushed(record, cache, entry).await?;
        if !self.store.put_cache_entry(&entry, now()).await? {
            return Err(CallError::CacheMismatch(
                "the image is not entered into the index: its key was removed by `hearth cache rm` after the attempt had \
                 asked for it"
                    .to_owned(),
            ));
        }
        // After the write: the attempts that this wakes read the index.
        self.waiting.committed(&entry.place);
        tracing::info!(
            workspace.id = entry.writer,
            cache.repository = %entry.place.repository,
            cache.key = %entry.place.key,
            cache.digest = %entry.digest,
            "cache entry committed"
        );
        self.retention.retire().await;
        Ok(())
    }

    /// The build cache that a build may read.
    pub(crate) async fn build_cache(
        &self,
        record: &Record,
        cache: &CacheUse,
    ) -> Result<Option<Digest>, CallError> {
        let name = &record.workspace.node;
        let node = self.resolving.fleet.get(name);
        let node = node.ok_or_else(|| CallError::NodeUnknown(name.clone()))?;
        let (repository, config) = (cache.reference.repository(), record.spec.config.as_ref());
        Ok(match node.info.image_store() {
            ImageStore::Classic => {
                let newest = self
                    .store
                    .newest_cache_entry(repository, config, &node.platform);
                newest.await?.map(|newest| newest.digest)
            }
            ImageStore::Containerd | ImageStore::Unspecified => {
                self.store
                    .newest_build_cache(repository, config, &node.platform)
                    .await?
            }
        })
    }

    /// Notes the build cache of an entry that the workspace made.
    pub(crate) async fn commit_build_cache(
        &self,
        record: &Record,
        place: &Place,
        build_cache: &Digest,
    ) -> Result<(), CallError> {
        let noted = self
            .store
            .put_build_cache(place, &record.id, build_cache)
            .await?;
        tracing::info!(
            workspace.id = %record.id,
            cache.repository = %place.repository,
            cache.key = %place.key,
            cache.digest = %build_cache,
            noted,
            "build cache committed"
        );
        Ok(())
    }

    /// Drops an entry whose image the registry does not have any more or, with the step that BuildKit would have executed, is
    /// wrong.
    pub(crate) async fn drop_entry(
        &self,
        record: &Record,
        cache: &CacheUse,
        place: &Place,
        digest: &Digest,
        executed_step: &str,
    ) -> Result<(), CallError> {
        self.claims.lost(record, cache, place, digest).await?;
        let dropped = self.store.drop_cache_entry(place, digest).await?;
        tracing::info!(
            workspace.id = %record.id,
            cache.repository = %place.repository,
            cache.key = %place.key,
            cache.digest = %digest,
            dropped,
            executed_step,
            "{}",
            match executed_step {
                "" => "the registry does not have this image any more",
                _ => "an audit found that this image may be wrong",
            }
        );
        Ok(())
    }
}
