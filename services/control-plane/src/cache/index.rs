use std::sync::Arc;

use hearth_api::v1::{AttemptRef, CacheEntry, CacheTarget, Workspace};

use super::{
    leases::Place,
    resolve::{Decisions, Question, Resolving},
    retention::Retention,
    rules::CacheRules,
    waiting::Waiting,
};
use crate::{clock::now, error::CallError, store::Store};

/// The index of images, as attempts use it.
pub(crate) struct Index {
    store: Arc<dyn Store>,
    rules: Arc<CacheRules>,
    waiting: Arc<Waiting>,
    resolving: Arc<Resolving>,
    retention: Arc<Retention>,
}

impl Index {
    pub(crate) fn new(resolving: Resolving, retention: Arc<Retention>) -> Self {
        Self {
            store: resolving.store.clone(),
            rules: resolving.rules.clone(),
            waiting: resolving.waiting.clone(),
            resolving: Arc::new(resolving),
            retention,
        }
    }

    /// The workspace of an attempt that is its newest.
    pub(crate) async fn workspace(&self, attempt: AttemptRef) -> Result<Workspace, CallError> {
        let record = self.store.workspace(&attempt.workspace_id).await?;
        record
            .map(|record| record.workspace)
            .filter(|workspace| workspace.attempt == attempt.attempt)
            .ok_or(CallError::AttemptUnknown {
                id: attempt.workspace_id,
                attempt: attempt.attempt,
            })
    }

    /// Where the cache of a workspace is; `None` where it has none.
    pub(crate) fn target(&self, workspace: &Workspace) -> Option<CacheTarget> {
        let spec = workspace.spec.as_ref()?;
        self.rules.target(spec).ok()
    }

    /// Whether there is an image for a key, or it is to be built; the stream ends with one of them.
    pub(crate) async fn resolve(
        &self,
        workspace: &Workspace,
        target: &CacheTarget,
        key: String,
        manifest: String,
    ) -> Result<Decisions, CallError> {
        let resolving = self.resolving.clone();
        // A workspace whose repository has no cache has no target.
        let question = Question::new(resolving, workspace, target, key, manifest)
            .ok_or(CallError::CacheReadOnly)?;
        question.answer().await
    }

    /// Enters an image.
    pub(crate) async fn commit(&self, entry: CacheEntry) -> Result<(), CallError> {
        self.store.put_cache_entry(&entry, now()).await?;
        // Only now: whoever is woken looks into the index.
        self.waiting.committed(&Place {
            repository: entry.repository.clone(),
            key: entry.key.clone(),
        });
        tracing::info!(
            workspace.id = entry.writer,
            cache.repository = entry.repository,
            cache.key = entry.key,
            cache.digest = entry.digest,
            "cache entry committed"
        );
        self.retention.retire().await;
        Ok(())
    }

    /// Drops an entry whose image the registry does not have any more.
    pub(crate) async fn drop_entry(
        &self,
        workspace: &Workspace,
        repository: &str,
        key: &str,
        digest: &str,
    ) -> Result<(), CallError> {
        let dropped = self.store.drop_cache_entry(repository, key, digest).await?;
        tracing::info!(
            workspace.id = workspace.id,
            cache.repository = repository,
            cache.key = key,
            cache.digest = digest,
            dropped,
            "the registry does not have this image any more"
        );
        Ok(())
    }
}
