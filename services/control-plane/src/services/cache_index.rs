use std::sync::Arc;

use hearth_api::v1::{
    AttemptRef, CacheAccess, CacheEntry, CacheTarget, CommitCacheRequest, CommitCacheResponse,
    DropCacheRequest, DropCacheResponse, ResolveCacheRequest, Workspace,
    cache_index_service_server::CacheIndexService,
};
use hearth_domain::{CacheKey, Digest, sha256_hex};
use hearth_runtime::FieldFaults;
use tonic::{Request, Response, Status};

use crate::{
    cache::{Decisions, Index},
    error::CallError,
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
        let workspace = self.workspace(request.attempt).await?;
        let mut faults = FieldFaults::default();
        faults.check("key", request.key.parse::<CacheKey>());
        if request.key_manifest.len() > MAX_MANIFEST_BYTES {
            faults.add("key_manifest", "is larger than 2 MiB");
        }
        let target = self.0.target(&workspace);
        check_repository(
            "repository",
            &request.repository,
            target.as_ref(),
            &mut faults,
        );
        faults.into_result()?;
        let target = target.unwrap_or_default();
        let (key, manifest) = (request.key, request.key_manifest);
        self.0.resolve(&workspace, &target, key, manifest).await
    }

    async fn commit(&self, request: CommitCacheRequest) -> Result<(), CallError> {
        let workspace = self.workspace(request.attempt).await?;
        let target = self.0.target(&workspace);
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
        self.0.commit(entry).await
    }

    async fn drop_entry(&self, request: DropCacheRequest) -> Result<(), CallError> {
        let workspace = self.workspace(request.attempt).await?;
        let mut faults = FieldFaults::default();
        let target = self.0.target(&workspace);
        check_repository(
            "repository",
            &request.repository,
            target.as_ref(),
            &mut faults,
        );
        faults.check("key", request.key.parse::<CacheKey>());
        faults.check("digest", request.digest.parse::<Digest>());
        faults.into_result()?;
        self.0
            .drop_entry(
                &workspace,
                &request.repository,
                &request.key,
                &request.digest,
            )
            .await
    }

    async fn workspace(&self, attempt: Option<AttemptRef>) -> Result<Workspace, CallError> {
        self.0.workspace(attempt.unwrap_or_default()).await
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
