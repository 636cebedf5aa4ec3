use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use hearth_api::v1::{
    AgentServiceListConfigsResponse, DeleteWorkspaceRequest, DeleteWorkspaceResponse, Event,
    ExecRequest, ExecResponse, GetBuildLogRequest, GetBuildLogResponse, GetWorkspaceRequest,
    GetWorkspaceResponse, ListConfigsRequest, ListConfigsResponse, ListWorkspacesRequest,
    ListWorkspacesResponse, OpenSshRequest, OpenSshResponse, PortForwardRequest,
    PortForwardResponse, PrepareWorkspaceRequest, PrepareWorkspaceResponse, RenewWorkspaceRequest,
    RenewWorkspaceResponse, StartWorkspaceRequest, StartWorkspaceResponse, StopCause,
    StopWorkspaceRequest, StopWorkspaceResponse, WatchWorkspaceRequest, WatchWorkspaceResponse,
    Workspace, prepare_workspace_response as prepared, start_workspace_response as started,
    watch_workspace_response as watched, workspace_service_server::WorkspaceService,
};
use hearth_domain::WorkspaceId;
use hearth_runtime::FieldFaults;
use tonic::{Request, Response, Status, Streaming};

use super::{
    enter, page_tokens::PageTokens, paging::Paging, responses::Responses, selection::Selection,
    validate,
};
use crate::{
    access::Caller,
    enter::Entrances,
    error::CallError,
    node::Fleet,
    repositories::Repositories,
    workspace::{
        Begin, BuildLogs, Deletions, LifetimeArgs, Prepared, Stops, Stream as Slot, Until, Use,
        Uses, Watcher, Watching, What, Workspaces, seen,
    },
};

/// Serves `WorkspaceService`.
pub(super) struct WorkspaceApi {
    pub(super) workspaces: Arc<Workspaces>,
    pub(super) watching: Arc<Watching>,
    pub(super) deletions: Arc<Deletions>,
    pub(super) stops: Arc<Stops>,
    pub(super) lifetimes: LifetimeArgs,
    pub(super) uses: Uses,
    pub(super) fleet: Arc<Fleet>,
    pub(super) entrances: Entrances,
    pub(super) repositories: Arc<Repositories>,
    pub(super) build_logs: BuildLogs,
    pub(super) pages: PageTokens,
}

#[tonic::async_trait]
impl WorkspaceService for WorkspaceApi {
    type PrepareWorkspaceStream = Responses<PrepareWorkspaceResponse>;
    type WatchWorkspaceStream = Responses<WatchWorkspaceResponse>;
    type GetBuildLogStream = Responses<GetBuildLogResponse>;
    type StartWorkspaceStream = Responses<StartWorkspaceResponse>;
    type ExecStream = Responses<ExecResponse>;
    type OpenSshStream = Responses<OpenSshResponse>;
    type PortForwardStream = Responses<PortForwardResponse>;

    async fn prepare_workspace(
        &self,
        request: Request<PrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        let caller = Caller::of(&request)?;
        let own = caller.owner();
        let (wanted, until) = validate::prepare(request.into_inner(), &self.lifetimes, &own)?;
        match &wanted.what {
            What::New { spec, owner, .. } => {
                caller.check_repository(&spec.repository)?;
                caller.check_owner(owner)?;
            }
            What::Again(id, _) => self.check(&caller, id).await?,
        }
        // Before anything begins: a call that fails has begun nothing.
        let slot = self.watching.open(caller.name())?;
        let prepared = self.workspaces.prepare(wanted).await?;
        let (snapshot, watcher) = self.follow(slot, prepared, until).await?;
        Ok(Response::new(responses(
            snapshot,
            watcher,
            |snapshot| PrepareWorkspaceResponse {
                message: Some(prepared::Message::Snapshot(snapshot)),
            },
            |event| PrepareWorkspaceResponse {
                message: Some(prepared::Message::Event(event)),
            },
        )))
    }

    async fn watch_workspace(
        &self,
        request: Request<WatchWorkspaceRequest>,
    ) -> Result<Response<Self::WatchWorkspaceStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let id = validate::workspace_id(&request.workspace_id)?;
        let until = validate::until(request.until)?;
        self.check(&caller, &id).await?;
        let begin = match request.after_sequence {
            0 => Begin::Oldest,
            after => Begin::After(after),
        };
        let (snapshot, watcher) = self
            .watching
            .begin(self.watching.open(caller.name())?, &id, begin, until)
            .await?;
        Ok(Response::new(responses(
            seen(&self.fleet, snapshot),
            watcher,
            |snapshot| WatchWorkspaceResponse {
                message: Some(watched::Message::Snapshot(snapshot)),
            },
            |event| WatchWorkspaceResponse {
                message: Some(watched::Message::Event(event)),
            },
        )))
    }

    async fn start_workspace(
        &self,
        request: Request<StartWorkspaceRequest>,
    ) -> Result<Response<Self::StartWorkspaceStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let id = validate::workspace_id(&request.workspace_id)?;
        let until = validate::until(request.until)?;
        self.check(&caller, &id).await?;
        // Nobody is to find it stopped for its idle time at this moment.
        let _in_use: Use = self.uses.begin(&id);
        // Before anything begins: a call that fails has begun nothing.
        let slot = self.watching.open(caller.name())?;
        let prepared = self.workspaces.start(id).await?;
        let (snapshot, watcher) = self.follow(slot, prepared, until).await?;
        Ok(Response::new(responses(
            snapshot,
            watcher,
            |snapshot| StartWorkspaceResponse {
                message: Some(started::Message::Snapshot(snapshot)),
            },
            |event| StartWorkspaceResponse {
                message: Some(started::Message::Event(event)),
            },
        )))
    }

    async fn stop_workspace(
        &self,
        request: Request<StopWorkspaceRequest>,
    ) -> Result<Response<StopWorkspaceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let id = validate::workspace_id(&request.into_inner().workspace_id)?;
        self.check(&caller, &id).await?;
        let stopped = self.stops.stop(&id, StopCause::Requested).await;
        stopped.map_err(CallError::from)?;
        let record = self.workspaces.find(&id).await?;
        Ok(Response::new(StopWorkspaceResponse {
            workspace: Some(seen(&self.fleet, record.workspace)),
        }))
    }

    async fn renew_workspace(
        &self,
        request: Request<RenewWorkspaceRequest>,
    ) -> Result<Response<RenewWorkspaceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let id = validate::workspace_id(&request.workspace_id)?;
        self.check(&caller, &id).await?;
        let _in_use: Use = self.uses.begin(&id);
        let before = self.workspaces.find(&id).await?.workspace.lifetime;
        let mut faults = FieldFaults::default();
        let lifetime = self
            .lifetimes
            .resolve(request.lifetime, before, &mut faults);
        let lifetime = faults.complete(lifetime)?;
        let record = self.workspaces.renew(&id, lifetime).await?;
        Ok(Response::new(RenewWorkspaceResponse {
            workspace: Some(seen(&self.fleet, record.workspace)),
        }))
    }

    async fn get_workspace(
        &self,
        request: Request<GetWorkspaceRequest>,
    ) -> Result<Response<GetWorkspaceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let id = validate::workspace_id(&request.into_inner().workspace_id)?;
        let record = self.workspaces.find(&id).await?;
        if !caller.sees(&record.spec.repository) {
            return Err(CallError::WorkspaceUnknown(id).into());
        }
        Ok(Response::new(GetWorkspaceResponse {
            workspace: Some(seen(&self.fleet, record.workspace)),
        }))
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let mut faults = FieldFaults::default();
        let paging = Paging::read(
            self.pages.of("workspaces"),
            request.page_size,
            &request.page_token,
            &mut faults,
        );
        let selection = Selection::read(&request, &mut faults);
        let (paging, selection) = faults.complete(paging.zip(selection))?;
        let sees = |workspace: &Workspace| {
            let spec = workspace.spec.as_ref();
            let is_seen = caller.sees_url(spec.map_or("", |spec| &spec.repository));
            is_seen && selection.has(workspace)
        };
        if !request.request_id.is_empty() {
            let record = self.workspaces.of_request(&request.request_id).await?;
            let shown = record.map(|record| seen(&self.fleet, record.workspace));
            return Ok(Response::new(ListWorkspacesResponse {
                workspaces: shown.filter(sees).into_iter().collect(),
                next_page_token: String::new(),
            }));
        }
        let read = async |before, limit| {
            let found = self.workspaces.list(before, limit).await?;
            let shown = found.into_iter().map(|(number, workspace)| {
                (
                    number,
                    workspace.map(|workspace| seen(&self.fleet, workspace)),
                )
            });
            Ok(shown.collect())
        };
        let (workspaces, next_page_token) = paging.visible(read, sees).await?;
        Ok(Response::new(ListWorkspacesResponse {
            workspaces,
            next_page_token,
        }))
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Result<Response<DeleteWorkspaceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let id = validate::workspace_id(&request.workspace_id)?;
        self.check(&caller, &id).await?;
        self.deletions
            .delete(&id, request.force)
            .await
            .map_err(CallError::from)?;
        Ok(Response::new(DeleteWorkspaceResponse {}))
    }

    async fn exec(
        &self,
        request: Request<Streaming<ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        Ok(Response::new(enter::exec(&self.entrances, request).await?))
    }

    async fn open_ssh(
        &self,
        request: Request<Streaming<OpenSshRequest>>,
    ) -> Result<Response<Self::OpenSshStream>, Status> {
        let answers = enter::open_ssh(&self.entrances, request).await?;
        Ok(Response::new(answers))
    }

    async fn port_forward(
        &self,
        request: Request<Streaming<PortForwardRequest>>,
    ) -> Result<Response<Self::PortForwardStream>, Status> {
        let answers = enter::port_forward(&self.entrances, request).await?;
        Ok(Response::new(answers))
    }

    async fn list_configs(
        &self,
        request: Request<ListConfigsRequest>,
    ) -> Result<Response<ListConfigsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let (repository, git_ref) = validate::list_configs(&request.into_inner())?;
        caller.check_repository(&repository)?;
        let listed = self.repositories.configs(&repository, &git_ref).await?;
        let AgentServiceListConfigsResponse {
            commit,
            configs,
            used,
        } = listed;
        Ok(Response::new(ListConfigsResponse {
            commit,
            configs,
            used,
        }))
    }

    async fn get_build_log(
        &self,
        request: Request<GetBuildLogRequest>,
    ) -> Result<Response<Self::GetBuildLogStream>, Status> {
        let caller = Caller::of(&request)?;
        let id = validate::workspace_id(&request.into_inner().workspace_id)?;
        let record = self.workspaces.find(&id).await?;
        if !caller.sees(&record.spec.repository) {
            return Err(CallError::WorkspaceUnknown(id).into());
        }
        let log = self.build_logs.open(&record).await?;
        let node = record.workspace.node;
        Ok(Response::new(Box::pin(log.map(move |piece| {
            let piece = piece.map_err(|status| {
                Status::from(CallError::AgentFailed {
                    node: node.clone(),
                    why: status.message().to_owned(),
                })
            })?;
            Ok(GetBuildLogResponse {
                attempt: piece.attempt,
                text: piece.text,
            })
        }))))
    }
}

impl WorkspaceApi {
    /// The workspace as it is when a stream of its log begins, and that stream.
    async fn follow(
        &self,
        slot: Slot,
        prepared: Prepared,
        until: Until,
    ) -> Result<(Workspace, Watcher), CallError> {
        match prepared {
            Prepared::Now(record) => {
                // The stream continues exactly where the snapshot ends.
                let begin = Begin::After(record.workspace.last_sequence);
                let (_, watcher) = self.watching.begin(slot, &record.id, begin, until).await?;
                Ok((record.workspace, watcher))
            }
            Prepared::Before(id) => {
                let begun = self.watching.begin(slot, &id, Begin::Snapshot, until);
                let (snapshot, watcher) = begun.await?;
                Ok((seen(&self.fleet, snapshot), watcher))
            }
        }
    }

    /// Fails as for a workspace that does not exist unless the caller sees it. Who sees all may also work with one that cannot
    /// be read.
    async fn check(&self, caller: &Caller, id: &WorkspaceId) -> Result<(), CallError> {
        if !caller.is_limited() || caller.sees(&self.workspaces.find(id).await?.spec.repository) {
            return Ok(());
        }
        Err(CallError::WorkspaceUnknown(id.clone()))
    }
}

fn responses<T: Send + 'static>(
    snapshot: Workspace,
    watcher: Watcher,
    of_snapshot: fn(Workspace) -> T,
    of_event: fn(Event) -> T,
) -> Responses<T> {
    let events = watcher
        .events()
        .map(move |event| event.map(of_event).map_err(Status::from));
    Box::pin(stream::once(async move { Ok(of_snapshot(snapshot)) }).chain(events))
}
