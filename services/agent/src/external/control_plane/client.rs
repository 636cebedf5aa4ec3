use std::time::Duration;

use hearth_api::v1::{
    HeartbeatRequest, HeartbeatResponse, RegisterRequest, RegisterResponse,
    agent_registry_service_client::AgentRegistryServiceClient,
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use super::session::Session;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A workspace does not wait longer for an answer about the cache.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
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

    /// The connection, shared by all calls.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}
