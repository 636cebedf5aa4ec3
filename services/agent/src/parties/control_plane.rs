use std::time::Duration;

use async_trait::async_trait;
use hearth_api::v1::{
    AttemptRef, CacheEntry, CommitCacheRequest, CredentialUse, DropCacheRequest, HeartbeatRequest,
    HeartbeatResponse, RefreshCredentialsRequest, RefreshCredentialsResponse, RegisterRequest,
    RegisterResponse, ResolveCacheRequest,
    agent_registry_service_client::AgentRegistryServiceClient,
    cache_index_service_client::CacheIndexServiceClient,
    credential_service_client::CredentialServiceClient, resolve_cache_response::Decision,
};
use hearth_domain::KeyManifest;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{
    CacheIndex, CredentialFailure, Credentials, IndexFailure, OnWait, Resolution, Session,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A workspace does not wait longer for an answer about the cache.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A control plane that vanished while an attempt waits for another node's build is noticed after so long.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The control plane, as the agent sees it. Connects when it is needed, and again after a loss.
#[derive(Clone, Debug)]
pub struct ControlPlaneClient {
    channel: Channel,
    session: Session,
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
            session: Session::default(),
        }
    }

    /// What proves to the control plane which node calls.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Makes this node known, and begins its session.
    pub async fn register(&self, request: RegisterRequest) -> Result<RegisterResponse, Status> {
        let mut client = AgentRegistryServiceClient::new(self.channel.clone());
        let mut answer = client.register(request).await?.into_inner();
        self.session
            .begin(std::mem::take(&mut answer.session_token).into());
        Ok(answer)
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
impl Credentials for ControlPlaneClient {
    async fn refresh(
        &self,
        attempt: &AttemptRef,
        purpose: CredentialUse,
        refused_sha256: &str,
    ) -> Result<RefreshCredentialsResponse, CredentialFailure> {
        let mut token = self.session.token().await;
        let mut renewed = false;
        loop {
            let mut request = Request::new(RefreshCredentialsRequest {
                attempt: Some(attempt.clone()),
                r#use: purpose.into(),
                refused_sha256: refused_sha256.to_owned(),
            });
            request
                .metadata_mut()
                .insert("authorization", bearer(token.secret())?);
            let mut client = CredentialServiceClient::new(self.channel.clone());
            match client.refresh_credentials(request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                // Somebody registered this node anew, or the control plane has forgotten it.
                Err(status) if status.code() == Code::Unauthenticated && !renewed => {
                    renewed = true;
                    token = self.session.renewed(&token).await;
                }
                Err(status) => {
                    return Err(CredentialFailure(format!(
                        "{}: {}",
                        status.code(),
                        status.message()
                    )));
                }
            }
        }
    }
}

/// The value of `authorization`; marked so that HTTP/2's compression does not remember it and nobody prints it.
fn bearer(token: &SecretString) -> Result<MetadataValue<Ascii>, CredentialFailure> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose_secret())
        .parse()
        .map_err(|_| CredentialFailure("its session token is no text for a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
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

#[cfg(test)]
#[path = "control_plane_tests.rs"]
mod tests;
