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
/// How long a call may take to answer; a workspace waits no longer for the cache.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Pings notice a control plane that vanished while an attempt waits for another node's build.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A client of the control plane. It connects with the first call, and again after a loss.
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

    /// The session that proves to the control plane which node calls.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Registers the node and begins its session.
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
