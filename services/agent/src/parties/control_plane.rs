use std::time::Duration;

use async_trait::async_trait;
use hearth_api::v1::{
    AttemptRef, CacheEntry, CommitCacheRequest, DropCacheRequest, RegisterRequest,
    RegisterResponse, ResolveCacheRequest,
    agent_registry_service_client::AgentRegistryServiceClient,
    cache_index_service_client::CacheIndexServiceClient, resolve_cache_response::Decision,
};
use hearth_api::v1::{HeartbeatRequest, HeartbeatResponse};
use hearth_domain::KeyManifest;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use super::{CacheIndex, IndexFailure, OnWait, Resolution};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A workspace does not wait longer for an answer about the cache.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A control plane that vanished while an attempt waits for another node's build is noticed after so long.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The control plane, as the agent sees it. Connects when it is needed, and again after a loss.
#[derive(Clone, Debug)]
pub struct ControlPlaneClient {
    channel: Channel,
}

impl ControlPlaneClient {
    /// A client for `endpoint`.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            channel: endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(CALL_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE)
                .connect_lazy(),
        }
    }

    /// Makes this node known.
    pub async fn register(&self, request: RegisterRequest) -> Result<RegisterResponse, Status> {
        let mut client = AgentRegistryServiceClient::new(self.channel.clone());
        Ok(client.register(request).await?.into_inner())
    }

    /// Says that the agent is alive.
    pub async fn heartbeat(&self, request: HeartbeatRequest) -> Result<HeartbeatResponse, Status> {
        let mut client = AgentRegistryServiceClient::new(self.channel.clone());
        Ok(client.heartbeat(request).await?.into_inner())
    }

    fn index(&self) -> CacheIndexServiceClient<Channel> {
        CacheIndexServiceClient::new(self.channel.clone())
    }
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
        let answer = self.index().resolve_cache(request).await.map_err(failure)?;
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
        self.index().commit_cache(request).await.map_err(failure)?;
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
        self.index().drop_cache(request).await.map_err(failure)?;
        Ok(())
    }
}

fn failure(status: Status) -> IndexFailure {
    IndexFailure(format!("{}: {}", status.code(), status.message()))
}
