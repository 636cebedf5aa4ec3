use std::sync::Arc;

use futures_util::stream::BoxStream;
use hearth_api::v1::{
    AttemptRef, CacheAccess, CacheEntry, CacheTarget, CommitCacheRequest, CommitCacheResponse,
    DropCacheRequest, DropCacheResponse, ResolveCacheRequest, ResolveCacheResponse, Workspace,
    cache_index_service_server::CacheIndexService,
};
use hearth_domain::{CacheKey, Digest, sha256_hex};
use hearth_runtime::FieldFaults;
use tonic::{Request, Response, Status};

use super::resolve::Question;
use crate::{
    cache::{leases::Place, retention::retire},
    cache_target::cache_target,
    clock::now,
    core::Core,
    error::CallError,
};

/// A hit carries the manifest back, in a message of at most 4 MiB.
const MAX_MANIFEST_BYTES: usize = 2 * 1024 * 1024;
const MAX_TEXT_BYTES: usize = 256;

/// Serves `CacheIndexService`.
pub(super) struct CacheIndex(pub(super) Arc<Core>);

#[tonic::async_trait]
impl CacheIndexService for CacheIndex {
    type ResolveCacheStream = BoxStream<'static, Result<ResolveCacheResponse, Status>>;

    async fn resolve_cache(
        &self,
        request: Request<ResolveCacheRequest>,
    ) -> Result<Response<Self::ResolveCacheStream>, Status> {
        let question = self.question(request.into_inner()).await?;
        Ok(Response::new(question.answer().await?))
    }

    async fn commit_cache(
        &self,
        request: Request<CommitCacheRequest>,
    ) -> Result<Response<CommitCacheResponse>, Status> {
        self.commit(request.into_inner()).await?;
        Ok(Response::new(CommitCacheResponse {}))
    }

    async fn drop_cache(
        &self,
        request: Request<DropCacheRequest>,
    ) -> Result<Response<DropCacheResponse>, Status> {
        self.drop_entry(request.into_inner()).await?;
        Ok(Response::new(DropCacheResponse {}))
    }
}

impl CacheIndex {
    async fn question(&self, request: ResolveCacheRequest) -> Result<Question, CallError> {
        let workspace = self.workspace(request.attempt).await?;
        let mut faults = FieldFaults::default();
        faults.check("key", request.key.parse::<CacheKey>());
        if request.key_manifest.len() > MAX_MANIFEST_BYTES {
            faults.add("key_manifest", "is larger than 2 MiB");
        }
        let target = self.target(&workspace);
        check_repository(
            "repository",
            &request.repository,
            target.as_ref(),
            &mut faults,
        );
        faults.into_result()?;
        let target = target.unwrap_or_default();
        let (key, manifest) = (request.key, request.key_manifest);
        // A workspace whose repository has no cache was refused above.
        Question::new(self.0.clone(), &workspace, &target, key, manifest)
            .ok_or(CallError::CacheReadOnly)
    }

    async fn commit(&self, request: CommitCacheRequest) -> Result<(), CallError> {
        let core = &self.0;
        let workspace = self.workspace(request.attempt).await?;
        let target = self.target(&workspace);
        if target
            .as_ref()
            .is_none_or(|target| target.access() != CacheAccess::ReadWrite)
        {
            return Err(CallError::CacheReadOnly);
        }
        let spec = workspace.spec.unwrap_or_default();
        let entry = CacheEntry {
            r#ref: spec.r#ref,
            writer: workspace.id.clone(),
            ..request.entry.unwrap_or_default()
        };
        check_entry(&entry, &spec.config, target.as_ref())?;
        core.store.put_cache_entry(&entry, now()).await?;
        // Only now: whoever is woken looks into the index.
        core.waiting.committed(&Place {
            repository: entry.repository.clone(),
            key: entry.key.clone(),
        });
        tracing::info!(
            workspace.id = workspace.id,
            cache.repository = entry.repository,
            cache.key = entry.key,
            cache.digest = entry.digest,
            "cache entry committed"
        );
        retire(core).await;
        Ok(())
    }

    async fn drop_entry(&self, request: DropCacheRequest) -> Result<(), CallError> {
        let workspace = self.workspace(request.attempt).await?;
        let mut faults = FieldFaults::default();
        let target = self.target(&workspace);
        check_repository(
            "repository",
            &request.repository,
            target.as_ref(),
            &mut faults,
        );
        faults.check("key", request.key.parse::<CacheKey>());
        faults.check("digest", request.digest.parse::<Digest>());
        faults.into_result()?;
        let dropped = self
            .0
            .store
            .drop_cache_entry(&request.repository, &request.key, &request.digest)
            .await?;
        tracing::info!(
            workspace.id = workspace.id,
            cache.repository = request.repository,
            cache.key = request.key,
            cache.digest = request.digest,
            dropped,
            "the registry does not have this image any more"
        );
        Ok(())
    }

    /// The workspace of an attempt that is its newest.
    async fn workspace(&self, attempt: Option<AttemptRef>) -> Result<Workspace, CallError> {
        let attempt = attempt.unwrap_or_default();
        let record = self.0.store.workspace(&attempt.workspace_id).await?;
        record
            .map(|record| record.workspace)
            .filter(|workspace| workspace.attempt == attempt.attempt)
            .ok_or(CallError::AttemptUnknown {
                id: attempt.workspace_id,
                attempt: attempt.attempt,
            })
    }

    fn target(&self, workspace: &Workspace) -> Option<CacheTarget> {
        let spec = workspace.spec.as_ref()?;
        cache_target(spec, &self.0.cache_rules).ok()
    }
}

/// An attempt deals with the cache of its own repository and with no other.
fn check_repository(
    field: &str,
    repository: &str,
    target: Option<&CacheTarget>,
    faults: &mut FieldFaults,
) {
    if target.is_none_or(|target| target.repository != repository) {
        faults.add(field, "is not the cache of the workspace's repository");
    }
}

fn check_entry(
    entry: &CacheEntry,
    config: &str,
    target: Option<&CacheTarget>,
) -> Result<(), CallError> {
    let mut faults = FieldFaults::default();
    check_repository("entry.repository", &entry.repository, target, &mut faults);
    if entry.config != config {
        faults.add("entry.config", "is not the workspace's configuration");
    }
    faults.check("entry.digest", entry.digest.parse::<Digest>());
    if entry.key_manifest.len() > MAX_MANIFEST_BYTES {
        faults.add("entry.key_manifest", "is larger than 2 MiB");
    } else if faults
        .check("entry.key", entry.key.parse::<CacheKey>())
        .is_some_and(|key| key.as_str() != format!("k1:{}", sha256_hex(&entry.key_manifest)))
    {
        faults.add("entry.key", "is not the SHA-256 of entry.key_manifest");
    }
    if !entry.platform.contains('/') || entry.platform.len() > MAX_TEXT_BYTES {
        faults.add("entry.platform", "must have the form os/architecture");
    }
    if entry.commit.len() > MAX_TEXT_BYTES {
        faults.add("entry.commit", "is longer than any hash");
    }
    if !entry.build_seconds.is_finite() || entry.build_seconds < 0.0 {
        faults.add("entry.build_seconds", "must be a number of seconds");
    }
    Ok(faults.into_result()?)
}
