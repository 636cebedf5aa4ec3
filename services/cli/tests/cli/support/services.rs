//! The services, answered from the script.

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use hearth_api::v1::{
    CreateClientRequest, CreateClientResponse, CreateJoinTokenRequest, CreateJoinTokenResponse,
    DeleteWorkspaceRequest, DeleteWorkspaceResponse, ExplainRefRequest, ExplainRefResponse,
    ExplainWorkspaceRequest, ExplainWorkspaceResponse, Explanation, GetBuildLogRequest,
    GetBuildLogResponse, GetCallerRequest, GetCallerResponse, GetPublicKeyRequest,
    GetPublicKeyResponse, GetStatsRequest, GetStatsResponse, GetWorkspaceRequest,
    GetWorkspaceResponse, InvalidateEntryRequest, InvalidateEntryResponse, IssueCertificateRequest,
    IssueCertificateResponse, ListClientsRequest, ListClientsResponse, ListConfigsRequest,
    ListConfigsResponse, ListEntriesRequest, ListEntriesResponse, ListJoinTokensRequest,
    ListJoinTokensResponse, ListNodesRequest, ListNodesResponse, ListWorkspacesRequest,
    ListWorkspacesResponse, PrepareWorkspaceRequest, PrepareWorkspaceResponse, ProbeAccessRequest,
    ProbeAccessResponse, RemoveNodeRequest, RemoveNodeResponse, RemoveQuarantinedRequest,
    RemoveQuarantinedResponse, RenewWorkspaceRequest, RenewWorkspaceResponse, RevokeClientRequest,
    RevokeClientResponse, RevokeJoinTokenRequest, RevokeJoinTokenResponse, StartWorkspaceRequest,
    StartWorkspaceResponse, StopWorkspaceRequest, StopWorkspaceResponse, VerifyCacheRequest,
    VerifyCacheResponse, WatchWorkspaceRequest, WatchWorkspaceResponse,
    cache_service_server::CacheService, client_service_server::ClientService,
    join_token_service_server::JoinTokenService, node_service_server::NodeService,
    workspace_service_server::WorkspaceService,
};
use tonic::{Request, Response, Status};

use super::script::{Answer, Call, End, Served};

fn streamed<M, R>(
    messages: Vec<M>,
    end: End,
    wrap: fn(Option<M>) -> R,
) -> Response<BoxStream<'static, Result<R, Status>>>
where
    M: Send + 'static,
    R: Send + 'static,
{
    let messages = stream::iter(messages).map(move |message| Ok(wrap(Some(message))));
    Response::new(match end {
        End::Well => messages.boxed(),
        End::With(status) => messages.chain(stream::iter([Err(status)])).boxed(),
        End::Never => messages.chain(stream::pending()).boxed(),
    })
}

#[tonic::async_trait]
impl WorkspaceService for Served {
    type ExecStream = BoxStream<'static, Result<hearth_api::v1::ExecResponse, Status>>;
    type OpenSshStream = BoxStream<'static, Result<hearth_api::v1::OpenSshResponse, Status>>;
    type PortForwardStream =
        BoxStream<'static, Result<hearth_api::v1::PortForwardResponse, Status>>;

    async fn exec(
        &self,
        _: Request<tonic::Streaming<hearth_api::v1::ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    async fn open_ssh(
        &self,
        _: Request<tonic::Streaming<hearth_api::v1::OpenSshRequest>>,
    ) -> Result<Response<Self::OpenSshStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    async fn port_forward(
        &self,
        _: Request<tonic::Streaming<hearth_api::v1::PortForwardRequest>>,
    ) -> Result<Response<Self::PortForwardStream>, Status> {
        Err(Status::unimplemented("nothing is entered here"))
    }

    type PrepareWorkspaceStream = BoxStream<'static, Result<PrepareWorkspaceResponse, Status>>;
    type WatchWorkspaceStream = BoxStream<'static, Result<WatchWorkspaceResponse, Status>>;

    async fn prepare_workspace(
        &self,
        request: Request<PrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        let call = Call::Prepare(request.into_inner());
        let (messages, end) = self.answer(call, |answer| match answer {
            Answer::Prepare(messages, end) => Some((messages, end)),
            _ => None,
        })?;
        Ok(streamed(messages, end, |message| {
            PrepareWorkspaceResponse { message }
        }))
    }

    async fn watch_workspace(
        &self,
        request: Request<WatchWorkspaceRequest>,
    ) -> Result<Response<Self::WatchWorkspaceStream>, Status> {
        let call = Call::Watch(request.into_inner());
        let (messages, end) = self.answer(call, |answer| match answer {
            Answer::Watch(messages, end) => Some((messages, end)),
            _ => None,
        })?;
        Ok(streamed(messages, end, |message| WatchWorkspaceResponse {
            message,
        }))
    }

    type StartWorkspaceStream = BoxStream<'static, Result<StartWorkspaceResponse, Status>>;

    async fn start_workspace(
        &self,
        request: Request<StartWorkspaceRequest>,
    ) -> Result<Response<Self::StartWorkspaceStream>, Status> {
        let call = Call::Start(request.into_inner());
        let (messages, end) = self.answer(call, |answer| match answer {
            Answer::Start(messages, end) => Some((messages, end)),
            _ => None,
        })?;
        Ok(streamed(messages, end, |message| StartWorkspaceResponse {
            message,
        }))
    }

    async fn stop_workspace(
        &self,
        request: Request<StopWorkspaceRequest>,
    ) -> Result<Response<StopWorkspaceResponse>, Status> {
        let workspace = self.answer(Call::Stop(request.into_inner()), |answer| match answer {
            Answer::Lives(workspace) => Some(*workspace),
            _ => None,
        })?;
        Ok(Response::new(StopWorkspaceResponse {
            workspace: Some(workspace),
        }))
    }

    async fn renew_workspace(
        &self,
        request: Request<RenewWorkspaceRequest>,
    ) -> Result<Response<RenewWorkspaceResponse>, Status> {
        let workspace = self.answer(Call::Renew(request.into_inner()), |answer| match answer {
            Answer::Lives(workspace) => Some(*workspace),
            _ => None,
        })?;
        Ok(Response::new(RenewWorkspaceResponse {
            workspace: Some(workspace),
        }))
    }

    async fn get_workspace(
        &self,
        request: Request<GetWorkspaceRequest>,
    ) -> Result<Response<GetWorkspaceResponse>, Status> {
        let workspace = self.answer(Call::Get(request.into_inner()), |answer| match answer {
            Answer::Get(workspace) => Some(*workspace),
            _ => None,
        })?;
        Ok(Response::new(GetWorkspaceResponse {
            workspace: Some(workspace),
        }))
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        self.answer(Call::List(request.into_inner()), |answer| match answer {
            Answer::List(page) => Some(page),
            _ => None,
        })
        .map(Response::new)
    }

    type GetBuildLogStream = BoxStream<'static, Result<GetBuildLogResponse, Status>>;

    async fn list_configs(
        &self,
        request: Request<ListConfigsRequest>,
    ) -> Result<Response<ListConfigsResponse>, Status> {
        let call = Call::ListConfigs(request.into_inner());
        self.answer(call, |answer| match answer {
            Answer::ListConfigs(listed) => Some(listed),
            _ => None,
        })
        .map(Response::new)
    }

    async fn get_build_log(
        &self,
        request: Request<GetBuildLogRequest>,
    ) -> Result<Response<Self::GetBuildLogStream>, Status> {
        let call = Call::BuildLog(request.into_inner());
        let pieces = self.answer(call, |answer| match answer {
            Answer::BuildLog(pieces) => Some(pieces),
            _ => None,
        })?;
        Ok(Response::new(
            stream::iter(pieces.into_iter().map(Ok)).boxed(),
        ))
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Result<Response<DeleteWorkspaceResponse>, Status> {
        self.answer(Call::Delete(request.into_inner()), |answer| {
            matches!(answer, Answer::Deleted).then_some(DeleteWorkspaceResponse {})
        })
        .map(Response::new)
    }
}

#[tonic::async_trait]
impl ClientService for Served {
    async fn get_caller(
        &self,
        _: Request<GetCallerRequest>,
    ) -> Result<Response<GetCallerResponse>, Status> {
        let has_it = |answer: &Answer| matches!(answer, Answer::Caller(_) | Answer::Refuse(_));
        if !self.with(|script| script.answers.front().is_some_and(has_it)) {
            return Err(Status::unimplemented(""));
        }
        self.answer(Call::Caller, |answer| match answer {
            Answer::Caller(caller) => Some(caller),
            _ => None,
        })
        .map(Response::new)
    }

    async fn create_client(
        &self,
        request: Request<CreateClientRequest>,
    ) -> Result<Response<CreateClientResponse>, Status> {
        self.answer(
            Call::CreateClient(request.into_inner()),
            |answer| match answer {
                Answer::Created(created) => Some(created),
                _ => None,
            },
        )
        .map(Response::new)
    }

    async fn list_clients(
        &self,
        request: Request<ListClientsRequest>,
    ) -> Result<Response<ListClientsResponse>, Status> {
        self.answer(Call::Clients(request.into_inner()), |answer| match answer {
            Answer::Clients(page) => Some(page),
            _ => None,
        })
        .map(Response::new)
    }

    async fn revoke_client(
        &self,
        request: Request<RevokeClientRequest>,
    ) -> Result<Response<RevokeClientResponse>, Status> {
        self.answer(Call::RevokeClient(request.into_inner()), |answer| {
            matches!(answer, Answer::Revoked).then_some(RevokeClientResponse {})
        })
        .map(Response::new)
    }

    async fn issue_certificate(
        &self,
        _: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        Err(Status::unimplemented("the client does not call it"))
    }
}

#[tonic::async_trait]
impl NodeService for Served {
    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        self.answer(Call::Nodes, |answer| match answer {
            Answer::Nodes(nodes) => Some(nodes),
            _ => None,
        })
        .map(Response::new)
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeResponse>, Status> {
        self.answer(Call::RemoveNode(request.into_inner()), |answer| {
            matches!(answer, Answer::NodeRemoved).then_some(RemoveNodeResponse {})
        })
        .map(Response::new)
    }

    async fn remove_quarantined(
        &self,
        request: Request<RemoveQuarantinedRequest>,
    ) -> Result<Response<RemoveQuarantinedResponse>, Status> {
        self.answer(Call::Discard(request.into_inner()), |answer| {
            matches!(answer, Answer::Discarded).then_some(RemoveQuarantinedResponse {})
        })
        .map(Response::new)
    }
}

#[tonic::async_trait]
impl CacheService for Served {
    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let call = Call::Entries(request.into_inner());
        self.answer(call, |answer| match answer {
            Answer::Entries(page) => Some(page),
            _ => None,
        })
        .map(Response::new)
    }

    async fn explain_workspace(
        &self,
        request: Request<ExplainWorkspaceRequest>,
    ) -> Result<Response<ExplainWorkspaceResponse>, Status> {
        let explanation = self.explained(Call::ExplainWorkspace(request.into_inner()))?;
        Ok(Response::new(ExplainWorkspaceResponse {
            explanation: Some(explanation),
        }))
    }

    async fn explain_ref(
        &self,
        request: Request<ExplainRefRequest>,
    ) -> Result<Response<ExplainRefResponse>, Status> {
        let explanation = self.explained(Call::ExplainRef(request.into_inner()))?;
        Ok(Response::new(ExplainRefResponse {
            explanation: Some(explanation),
        }))
    }

    async fn invalidate_entry(
        &self,
        request: Request<InvalidateEntryRequest>,
    ) -> Result<Response<InvalidateEntryResponse>, Status> {
        let call = Call::Invalidate(request.into_inner());
        self.answer(call, |answer| match answer {
            Answer::Invalidated(response) => Some(response),
            _ => None,
        })
        .map(Response::new)
    }

    async fn probe_access(
        &self,
        request: Request<ProbeAccessRequest>,
    ) -> Result<Response<ProbeAccessResponse>, Status> {
        let call = Call::Probe(request.into_inner());
        self.answer(call, |answer| match answer {
            Answer::Probed(response) => Some(response),
            _ => None,
        })
        .map(Response::new)
    }

    async fn verify_cache(
        &self,
        request: Request<VerifyCacheRequest>,
    ) -> Result<Response<VerifyCacheResponse>, Status> {
        let call = Call::Verify(request.into_inner());
        self.answer(call, |answer| match answer {
            Answer::Verified(page) => Some(page),
            _ => None,
        })
        .map(Response::new)
    }

    async fn get_public_key(
        &self,
        _: Request<GetPublicKeyRequest>,
    ) -> Result<Response<GetPublicKeyResponse>, Status> {
        self.answer(Call::PublicKey, |answer| match answer {
            Answer::PublicKey(key) => Some(key),
            _ => None,
        })
        .map(Response::new)
    }

    async fn get_stats(
        &self,
        _: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        self.answer(Call::Stats, |answer| match answer {
            Answer::Stats(stats) => Some(*stats),
            _ => None,
        })
        .map(Response::new)
    }
}

impl Served {
    fn explained(&self, call: Call) -> Result<Explanation, Status> {
        self.answer(call, |answer| match answer {
            Answer::Explained(explanation) => Some(*explanation),
            _ => None,
        })
    }
}

#[tonic::async_trait]
impl JoinTokenService for Served {
    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        let call = Call::CreateToken(request.into_inner());
        let created = self.answer(call, |answer| match answer {
            Answer::TokenCreated(created) => Some(created),
            _ => None,
        })?;
        Ok(Response::new(created))
    }

    async fn list_join_tokens(
        &self,
        _: Request<ListJoinTokensRequest>,
    ) -> Result<Response<ListJoinTokensResponse>, Status> {
        let tokens = self.answer(Call::Tokens, |answer| match answer {
            Answer::Tokens(tokens) => Some(tokens),
            _ => None,
        })?;
        Ok(Response::new(tokens))
    }

    async fn revoke_join_token(
        &self,
        request: Request<RevokeJoinTokenRequest>,
    ) -> Result<Response<RevokeJoinTokenResponse>, Status> {
        let call = Call::RevokeToken(request.into_inner());
        self.answer(call, |answer| {
            matches!(answer, Answer::TokenRevoked).then_some(())
        })?;
        Ok(Response::new(RevokeJoinTokenResponse {}))
    }
}
