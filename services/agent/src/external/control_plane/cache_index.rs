use async_trait::async_trait;
use hearth_api::v1::{
    AttemptRef, BuildDecision, CacheEntry, CommitCacheRequest, DropCacheRequest,
    ResolveCacheRequest, WaitDecision, cache_index_service_client::CacheIndexServiceClient,
    resolve_cache_response::Decision,
};
use hearth_domain::KeyManifest;
use tonic::{Status, transport::Channel};

use super::client::{CALL_TIMEOUT, ControlPlaneClient};

/// What the index has for a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// An image.
    Hit(Box<CacheEntry>),
    /// Nothing that is worth fetching, and why.
    Build(BuildDecision),
}

/// Hears who builds the key, while the index makes the caller wait for it.
pub type OnWait<'a> = &'a mut (dyn FnMut(WaitDecision) + Send);

/// The index could not be asked, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the cache index: {0}")]
pub struct IndexFailure(pub String);

/// The control plane's index of the cache.
#[async_trait]
pub trait CacheIndex: Send + Sync {
    /// Asks what there is for a key. May take as long as another node builds it; whoever drops the future waits no more.
    async fn resolve(
        &self,
        attempt: &AttemptRef,
        repository: &str,
        manifest: &KeyManifest,
        on_wait: OnWait<'_>,
    ) -> Result<Resolution, IndexFailure>;
    /// Enters a pushed image.
    async fn commit(&self, attempt: &AttemptRef, entry: CacheEntry) -> Result<(), IndexFailure>;
    /// Reports that an entry's image is gone.
    async fn drop_entry(
        &self,
        attempt: &AttemptRef,
        entry: &CacheEntry,
    ) -> Result<(), IndexFailure>;
}

#[async_trait]
impl CacheIndex for ControlPlaneClient {
    async fn resolve(
        &self,
        attempt: &AttemptRef,
        repository: &str,
        manifest: &KeyManifest,
        on_wait: OnWait<'_>,
    ) -> Result<Resolution, IndexFailure> {
        let request = ResolveCacheRequest {
            attempt: Some(attempt.clone()),
            repository: repository.to_owned(),
            key: manifest.key().to_string(),
            key_manifest: manifest.canonical_json(),
        };
        let answer = client(self).resolve_cache(request).await.map_err(failure)?;
        let mut decisions = answer.into_inner();
        // The channel's limit ends with the headers; what follows the first message may take as long as a build.
        let mut message = tokio::time::timeout(CALL_TIMEOUT, decisions.message())
            .await
            .map_err(|_| IndexFailure("it did not answer".to_owned()))?
            .map_err(failure)?;
        while let Some(response) = message {
            match response.decision {
                Some(Decision::Hit(entry)) => return Ok(Resolution::Hit(Box::new(entry))),
                Some(Decision::Build(build)) => return Ok(Resolution::Build(build)),
                Some(Decision::Wait(wait)) => on_wait(wait),
                None => {}
            }
            message = decisions.message().await.map_err(failure)?;
        }
        Err(IndexFailure("it decided nothing".to_owned()))
    }

    async fn commit(&self, attempt: &AttemptRef, entry: CacheEntry) -> Result<(), IndexFailure> {
        let request = CommitCacheRequest {
            attempt: Some(attempt.clone()),
            entry: Some(entry),
        };
        client(self).commit_cache(request).await.map_err(failure)?;
        Ok(())
    }

    async fn drop_entry(
        &self,
        attempt: &AttemptRef,
        entry: &CacheEntry,
    ) -> Result<(), IndexFailure> {
        let request = DropCacheRequest {
            attempt: Some(attempt.clone()),
            repository: entry.repository.clone(),
            key: entry.key.clone(),
            digest: entry.digest.clone(),
        };
        client(self).drop_cache(request).await.map_err(failure)?;
        Ok(())
    }
}

fn client(control_plane: &ControlPlaneClient) -> CacheIndexServiceClient<Channel> {
    CacheIndexServiceClient::new(control_plane.channel())
}

fn failure(status: Status) -> IndexFailure {
    IndexFailure(format!("{}: {}", status.code(), status.message()))
}
