use std::sync::Arc;

use axum::body::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use hearth_api::v1::{
    self, DeregisterRequest, DeregisterResponse, EnrolRequest, EnrolResponse, HeartbeatRequest,
    HeartbeatResponse, OpenConnectionRequest, OpenConnectionResponse, QuarantinedWorkspace,
    RegisterRequest, RegisterResponse, RenewCertificateRequest, RenewCertificateResponse,
    agent_registry_service_server::AgentRegistryService,
};
use hearth_domain::{AttemptRef, Name, WorkspaceId};
use hearth_runtime::{FieldFaults, OnConnection, Tunnel, contract};
use secrecy::ExposeSecret as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    caller::{Caller, certified_node, end_of_certificate},
    enrolment,
};
use crate::{
    clock::now,
    error::CallError,
    identity::{Enrolment, IdentityError},
    node::Nodes,
    store::StoredNode,
    workspace::Recovery,
};

/// Limit of texts that are shown in lists, such as versions.
const MAX_TEXT_BYTES: usize = 256;
/// More than any node has.
const MAX_WORKSPACES: usize = 10_000;
/// Longest quarantine that a node can have.
const MAX_QUARANTINE_SECONDS: u64 = 100 * 366 * 24 * 3600;
/// CAs that a node knows: there are two while one is changed.
const MAX_AUTHORITIES: usize = 100;
/// A node may miss two heartbeats before it counts as lost.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// Serves `AgentRegistryService`.
pub(super) struct AgentRegistryApi {
    pub(super) nodes: Arc<Nodes>,
    pub(super) recovery: Arc<Recovery>,
    /// Ends connections of agents.
    pub(super) stopping: CancellationToken,
    /// Seconds without a heartbeat after which a node counts as lost.
    pub(super) lease_seconds: u32,
    /// What entries of the cache are signed with, as PEM; empty: they are not.
    pub(super) cache_public_key: String,
    /// `None`: nodes have no certificates.
    pub(super) enrolment: Option<Arc<Enrolment>>,
    /// Images that nodes fetch in advance.
    pub(super) default_images: Vec<String>,
}

#[tonic::async_trait]
impl AgentRegistryService for AgentRegistryApi {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        enrolment::enrol(self.enrolment.as_deref(), request).await
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        enrolment::renew(self.enrolment.as_deref(), request).await
    }

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let certified = certified_node(&request);
        let (node, workspaces) = read(request.into_inner())?;
        let name = node.name.clone();
        if let Some(certified) = certified {
            if certified.name.as_str() != name {
                tracing::warn!(node = name, "a node tried to register as another one");
                return Err(IdentityError::NoCertificate.into());
            }
            if let Some(enrolment) = &self.enrolment {
                enrolment.check_key(&certified.name, &certified.key).await?;
            }
        }
        let session = self.nodes.register(node).await?;
        let unknown = self.recovery.tidy(name, workspaces).await;
        Ok(Response::new(RegisterResponse {
            heartbeat_seconds: (self.lease_seconds / HEARTBEATS_PER_LEASE).max(1),
            lease_seconds: self.lease_seconds,
            session_token: session.expose_secret().to_owned(),
            cache_public_key: self.cache_public_key.clone(),
            control_plane_id: self.nodes.identity().to_owned(),
            unknown_workspace_ids: unknown.iter().map(ToString::to_string).collect(),
            default_images: self.default_images.clone(),
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        caller.check_node(&request.node)?;
        let node = request.node.clone();
        let preparing = attempts("preparing_attempts", &request.preparing_attempts)?;
        let unconfirmed = attempts("unconfirmed_attempts", &request.unconfirmed_attempts)?;
        check_quarantined(&request.quarantined)?;
        check_trust(request.trust.as_ref())?;
        let known = self.nodes.heartbeat(request).await;
        let (ended, confirmed) = match known {
            true => (
                self.nodes.ended(&node, preparing).await,
                self.nodes.confirmed(&node, unconfirmed).await,
            ),
            false => (Vec::new(), Vec::new()),
        };
        Ok(Response::new(HeartbeatResponse {
            control_plane_id: self.nodes.identity().to_owned(),
            known,
            confirmed_attempts: confirmed.iter().map(contract::attempt_message).collect(),
            ended_attempts: ended.iter().map(contract::attempt_message).collect(),
            cache_public_key: self.cache_public_key.clone(),
        }))
    }

    async fn deregister(
        &self,
        request: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterResponse>, Status> {
        let caller = Caller::of(&request)?;
        let DeregisterRequest { node, boot_id } = request.into_inner();
        caller.check_node(&node)?;
        self.nodes.leave(&node, &boot_id).await?;
        Ok(Response::new(DeregisterResponse {}))
    }

    type OpenConnectionStream = BoxStream<'static, Result<OpenConnectionResponse, Status>>;

    async fn open_connection(
        &self,
        request: Request<Streaming<OpenConnectionRequest>>,
    ) -> Result<Response<Self::OpenConnectionStream>, Status> {
        let node = Caller::of(&request)?.into_node();
        let proof = request.metadata().clone().into_headers();
        let outer = request.extensions().get::<OnConnection>().cloned();
        let ended = self.stopping.child_token();
        // An agent whose certificate is renewed opens another connection in time.
        let expired = end_of_certificate(&request);
        let arriving = request.into_inner().map_ok(|message| message.data);
        let arriving = arriving.take_until(ended.clone().cancelled_owned());
        let arriving = arriving.take_until(Box::pin(expired));
        let (leaves, leaving) = Tunnel::way_out();
        let tunnel = Tunnel::new(arriving, leaves);
        self.nodes.connect(&node, &proof, tunnel, ended.clone())?;
        let carried = Carried {
            leaving,
            asks: outer.map(|outer| async move { outer.closing().await }.boxed()),
            connection: Connection {
                nodes: self.nodes.clone(),
                node,
                ended,
            },
        };
        let answers = stream::unfold(carried, |mut carried| async move {
            let answer = carried.next().await?;
            Some((Ok(answer), carried))
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// What goes to the agent on the call that carries its connection.
struct Carried {
    leaving: ReceiverStream<Bytes>,
    /// Ends when the agent has to open another connection.
    asks: Option<BoxFuture<'static, ()>>,
    connection: Connection,
}

impl Carried {
    async fn next(&mut self) -> Option<OpenConnectionResponse> {
        let asks = async {
            match &mut self.asks {
                Some(asks) => asks.await,
                None => std::future::pending().await,
            }
        };
        let (data, open_another) = tokio::select! {
            () = self.connection.ended.cancelled() => return None,
            data = self.leaving.next() => (data?, false),
            () = asks => {
                self.asks = None;
                tracing::debug!(node = self.connection.node, "asked a node for another connection");
                (Bytes::new(), true)
            }
        };
        Some(OpenConnectionResponse { data, open_another })
    }
}

/// The call that carries a node's connection. The connection is forgotten when the call ends, whatever ends it.
struct Connection {
    nodes: Arc<Nodes>,
    node: String,
    ended: CancellationToken,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.nodes.disconnected(&self.node, &self.ended);
    }
}

/// Reads attempts that a node names.
fn attempts(
    field: &'static str,
    messages: &[v1::AttemptRef],
) -> Result<Vec<AttemptRef>, CallError> {
    let mut faults = FieldFaults::default();
    if messages.len() > MAX_WORKSPACES {
        faults.add(field, "are more than 10000");
    }
    let attempts = messages.iter().take(MAX_WORKSPACES);
    let attempts: Option<Vec<AttemptRef>> = attempts
        .map(|attempt| contract::attempt(Some(attempt), &mut faults))
        .collect();
    Ok(faults.complete(attempts)?)
}

/// Checks what a node says of workspaces in quarantine.
fn check_quarantined(workspaces: &[QuarantinedWorkspace]) -> Result<(), CallError> {
    let mut faults = FieldFaults::default();
    if workspaces.len() > MAX_WORKSPACES {
        faults.add("quarantined", "are more than 10000");
    }
    for one in workspaces.iter().take(MAX_WORKSPACES) {
        let id: Result<WorkspaceId, _> = one.workspace_id.parse();
        faults.check("quarantined.workspace_id", id);
        if !is_identity(&one.control_plane_id) {
            faults.add("quarantined.control_plane_id", "is no control plane's");
        }
        if one.seconds_left > Some(MAX_QUARANTINE_SECONDS) {
            faults.add("quarantined.seconds_left", "is more than 100 years");
        }
    }
    Ok(faults.complete(Some(()))?)
}

fn check_trust(trust: Option<&v1::NodeTrust>) -> Result<(), CallError> {
    let mut faults = FieldFaults::default();
    let Some(trust) = trust else {
        return Ok(());
    };
    if trust.authorities_sha256.len() > MAX_AUTHORITIES {
        faults.add("trust.authorities_sha256", "are more than 100");
    }
    let known = trust.authorities_sha256.iter().take(MAX_AUTHORITIES);
    if !known
        .chain([&trust.issuer_sha256])
        .all(|one| is_identity(one))
    {
        faults.add("trust", "must have digests in hex");
    }
    Ok(faults.complete(Some(()))?)
}

/// Empty: it is not known.
fn is_identity(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads a registration: the node, and the workspaces on it.
fn read(request: RegisterRequest) -> Result<(StoredNode, Vec<WorkspaceId>), CallError> {
    let mut faults = FieldFaults::default();
    let name: Option<Name> = faults.check("node", request.node.parse());
    if request.workspace_ids.len() > MAX_WORKSPACES {
        faults.add("workspace_ids", "are more than 10000");
    }
    let workspaces: Result<Vec<WorkspaceId>, _> =
        request.workspace_ids.iter().map(|id| id.parse()).collect();
    let workspaces = faults.check("workspace_ids", workspaces);
    let info = request.info.unwrap_or_default();
    if info.boot_id.is_empty() {
        faults.add("info.boot_id", "must not be empty");
    }
    let platform = faults.check("info.platform", info.platform.parse());
    let texts = [
        ("info.boot_id", &info.boot_id),
        ("info.agent_version", &info.agent_version),
        ("info.engine", &info.engine),
        (
            "info.devcontainer_cli_version",
            &info.devcontainer_cli_version,
        ),
    ];
    for (field, text) in texts {
        if text.len() > MAX_TEXT_BYTES {
            faults.add(field, "is longer than 256 bytes");
        }
    }
    let read = name.zip(workspaces).zip(platform);
    let ((name, workspaces), platform) = faults.complete(read)?;
    let node = StoredNode {
        name: name.to_string(),
        platform,
        info,
        heartbeat: now(),
        has_left: false,
    };
    Ok((node, workspaces))
}
