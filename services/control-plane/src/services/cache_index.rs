use std::sync::Arc;

use hearth_api::v1::{
    AttemptRef, CacheEntry, CommitCacheRequest, CommitCacheResponse, DropCacheRequest,
    DropCacheResponse, ResolveCacheRequest, cache_index_service_server::CacheIndexService,
};
use hearth_domain::{CacheKey, Digest, sha256_hex};
use hearth_runtime::{FieldFaults, contract};
use tonic::{Request, Response, Status};

use crate::{
    cache::{CacheUse, Decisions, Index},
    error::CallError,
    record::Record,
};

/// A hit carries the manifest back, in a message of at most 4 MiB.
const MAX_MANIFEST_BYTES: usize = 2 * 1024 * 1024;
const MAX_TEXT_BYTES: usize = 256;

/// Serves `CacheIndexService`.
pub(super) struct CacheIndexApi(pub(super) Arc<Index>);

#[tonic::async_trait]
impl CacheIndexService for CacheIndexApi {
    type ResolveCacheStream = Decisions;

    async fn resolve_cache(
        &self,
        request: Request<ResolveCacheRequest>,
    ) -> Result<Response<Self::ResolveCacheStream>, Status> {
        Ok(Response::new(self.resolve(request.into_inner()).await?))
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

impl CacheIndexApi {
    async fn resolve(&self, request: ResolveCacheRequest) -> Result<Decisions, CallError> {
        let record = self.workspace(request.attempt).await?;
        let mut faults = FieldFaults::default();
        faults.check("key", request.key.parse::<CacheKey>());
        if request.key_manifest.len() > MAX_MANIFEST_BYTES {
            faults.add("key_manifest", "is larger than 2 MiB");
        }
        let cache = self.0.cache_use(&record);
        check_repository(
            "repository",
            &request.repository,
            cache.as_ref(),
            &mut faults,
        );
        let cache = faults.complete(cache)?;
        let (key, manifest) = (request.key, request.key_manifest);
        self.0.resolve(&record, cache, key, manifest).await
    }

    async fn commit(&self, request: CommitCacheRequest) -> Result<(), CallError> {
        let record = self.workspace(request.attempt).await?;
        let cache = self.0.cache_use(&record);
        if !cache.as_ref().is_some_and(|cache| cache.writable) {
            return Err(CallError::CacheReadOnly);
        }
        let entry = CacheEntry {
            r#ref: record.spec.git_ref.to_string(),
            writer: record.id.to_string(),
            ..request.entry.unwrap_or_default()
        };
        check_entry(&entry, record.spec.config_text(), cache.as_ref())?;
        self.0.commit(entry).await
    }

    async fn drop_entry(&self, request: DropCacheRequest) -> Result<(), CallError> {
        let record = self.workspace(request.attempt).await?;
        let mut faults = FieldFaults::default();
        let cache = self.0.cache_use(&record);
        check_repository(
            "repository",
            &request.repository,
            cache.as_ref(),
            &mut faults,
        );
        faults.check("key", request.key.parse::<CacheKey>());
        faults.check("digest", request.digest.parse::<Digest>());
        faults.into_result()?;
        self.0
            .drop_entry(&record, &request.repository, &request.key, &request.digest)
            .await
    }

    async fn workspace(&self, attempt: Option<AttemptRef>) -> Result<Record, CallError> {
        let mut faults = FieldFaults::default();
        // An attempt that cannot be is not known either.
        match contract::attempt(attempt.as_ref(), &mut faults) {
            Some(attempt) => self.0.workspace(&attempt).await,
            None => {
                let AttemptRef {
                    workspace_id: id,
                    attempt,
                } = attempt.unwrap_or_default();
                Err(CallError::AttemptUnknown { id, attempt })
            }
        }
    }
}

/// An attempt deals with the cache of its own repository and with no other.
fn check_repository(
    field: &str,
    repository: &str,
    cache: Option<&CacheUse>,
    faults: &mut FieldFaults,
) {
    if cache.is_none_or(|cache| cache.reference.repository().as_str() != repository) {
        faults.add(field, "is not the cache of the workspace's repository");
    }
}

fn check_entry(
    entry: &CacheEntry,
    config: &str,
    cache: Option<&CacheUse>,
) -> Result<(), CallError> {
    let mut faults = FieldFaults::default();
    check_repository("entry.repository", &entry.repository, cache, &mut faults);
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
