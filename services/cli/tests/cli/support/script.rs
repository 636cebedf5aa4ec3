use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use hearth_api::v1::{
    CreateClientRequest, CreateClientResponse, CreateJoinTokenRequest, CreateJoinTokenResponse,
    DeleteWorkspaceRequest, ExplainRefRequest, ExplainWorkspaceRequest, Explanation,
    GetBuildLogRequest, GetBuildLogResponse, GetCallerResponse, GetPublicKeyResponse,
    GetStatsResponse, GetWorkspaceRequest, InvalidateEntryRequest, InvalidateEntryResponse,
    ListClientsRequest, ListClientsResponse, ListConfigsRequest, ListConfigsResponse,
    ListEntriesRequest, ListEntriesResponse, ListJoinTokensResponse, ListNodesResponse,
    ListWorkspacesRequest, ListWorkspacesResponse, PrepareWorkspaceRequest, ProbeAccessRequest,
    ProbeAccessResponse, RemoveNodeRequest, RemoveQuarantinedRequest, RenewWorkspaceRequest,
    RevokeClientRequest, RevokeJoinTokenRequest, StartWorkspaceRequest, StopWorkspaceRequest,
    VerifyCacheRequest, VerifyCacheResponse, WatchWorkspaceRequest, Workspace,
    prepare_workspace_response as prepared, start_workspace_response as started,
    watch_workspace_response as watched,
};
use tonic::Status;

/// A call that the control plane got.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Prepare(PrepareWorkspaceRequest),
    Watch(WatchWorkspaceRequest),
    Get(GetWorkspaceRequest),
    List(ListWorkspacesRequest),
    Delete(DeleteWorkspaceRequest),
    ListConfigs(ListConfigsRequest),
    BuildLog(GetBuildLogRequest),
    Stop(StopWorkspaceRequest),
    Start(StartWorkspaceRequest),
    Renew(RenewWorkspaceRequest),
    Nodes,
    RemoveNode(RemoveNodeRequest),
    Discard(RemoveQuarantinedRequest),
    CreateToken(CreateJoinTokenRequest),
    Tokens,
    RevokeToken(RevokeJoinTokenRequest),
    Entries(ListEntriesRequest),
    ExplainWorkspace(ExplainWorkspaceRequest),
    ExplainRef(ExplainRefRequest),
    Invalidate(InvalidateEntryRequest),
    Stats,
    Probe(ProbeAccessRequest),
    Verify(VerifyCacheRequest),
    PublicKey,
    Caller,
    CreateClient(CreateClientRequest),
    Clients(ListClientsRequest),
    RevokeClient(RevokeClientRequest),
}

/// The answer to the next call. A call of another kind is a fault.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To Prepare: messages, and how the stream ends.
    Prepare(Vec<prepared::Message>, End),
    /// To Watch: messages, and how the stream ends.
    Watch(Vec<watched::Message>, End),
    Get(Box<Workspace>),
    List(ListWorkspacesResponse),
    Deleted,
    ListConfigs(ListConfigsResponse),
    BuildLog(Vec<GetBuildLogResponse>),
    /// To Stop and Renew.
    Lives(Box<Workspace>),
    /// To Start: messages, and how the stream ends.
    Start(Vec<started::Message>, End),
    Nodes(ListNodesResponse),
    NodeRemoved,
    Discarded,
    TokenCreated(CreateJoinTokenResponse),
    Tokens(ListJoinTokensResponse),
    TokenRevoked,
    Entries(ListEntriesResponse),
    /// To both kinds of explanation.
    Explained(Box<Explanation>),
    Invalidated(InvalidateEntryResponse),
    Stats(Box<GetStatsResponse>),
    Probed(ProbeAccessResponse),
    Verified(VerifyCacheResponse),
    PublicKey(GetPublicKeyResponse),
    /// To GetCaller. Without it the control plane is one that does not have the call.
    Caller(GetCallerResponse),
    Created(CreateClientResponse),
    Clients(ListClientsResponse),
    Revoked,
    /// To any call.
    Refuse(Status),
}

/// How a stream ends.
#[derive(Clone, Debug)]
pub enum End {
    /// As the contract has it.
    Well,
    /// With a status.
    With(Status),
    /// Not at all, until the connection is cut.
    Never,
}

#[derive(Debug, Default)]
pub struct Script {
    pub answers: VecDeque<Answer>,
    pub calls: Vec<Call>,
    /// What calls proved, in their order; health is asked without a proof.
    pub proofs: Vec<String>,
    pub faults: Vec<String>,
}

/// The script as the services see it.
#[derive(Clone, Debug, Default)]
pub struct Served(Arc<Mutex<Script>>);

impl Served {
    pub fn with<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the next answer; `fits` picks out what it has for this kind of call.
    pub fn answer<T>(
        &self,
        call: Call,
        fits: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<T, Status> {
        self.with(|script| {
            let fault = format!("unexpected {call:?}");
            script.calls.push(call);
            let answer = match script.answers.pop_front() {
                Some(Answer::Refuse(status)) => return Err(status),
                answer => answer.and_then(fits),
            };
            answer.ok_or_else(|| {
                script.faults.push(fault.clone());
                Status::failed_precondition(fault)
            })
        })
    }
}
