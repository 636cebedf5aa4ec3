use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream};
use hearth_api::v1::{
    DeleteWorkspaceRequest, DeleteWorkspaceResponse, Event, GetWorkspaceRequest,
    GetWorkspaceResponse, ListWorkspacesRequest, ListWorkspacesResponse, PrepareWorkspaceRequest,
    PrepareWorkspaceResponse, WatchWorkspaceRequest, WatchWorkspaceResponse, Workspace,
    prepare_workspace_response as prepared, watch_workspace_response as watched,
    workspace_service_server::WorkspaceService,
};
use hearth_domain::WorkspaceId;
use hearth_runtime::FieldFaults;
use tonic::{Request, Response, Status};

use super::{page_tokens::PageTokens, paging::Paging, validate};
use crate::{
    access::Caller,
    error::CallError,
    node::Fleet,
    workspace::{Begin, Deletions, Prepared, Watcher, Watching, What, Workspaces, seen},
};

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves `WorkspaceService`.
pub(super) struct WorkspaceApi {
    pub(super) workspaces: Arc<Workspaces>,
    pub(super) watching: Arc<Watching>,
    pub(super) deletions: Arc<Deletions>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) pages: PageTokens,
}

#[tonic::async_trait]
impl WorkspaceService for WorkspaceApi {
    type PrepareWorkspaceStream = Responses<PrepareWorkspaceResponse>;
    type WatchWorkspaceStream = Responses<WatchWorkspaceResponse>;

    async fn prepare_workspace(
        &self,
        request: Request<PrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        let caller = Caller::of(&request)?;
        let (wanted, until) = validate::prepare(request.into_inner())?;
        match &wanted.what {
            What::New { spec, .. } => caller.check_repository(&spec.repository)?,
            What::Again(id) => self.check(&caller, id).await?,
        }
        // Before anything begins: a call that fails has begun nothing.
        let slot = self.watching.open(caller.name())?;
        let prepared = self.workspaces.prepare(wanted).await?;
        let (snapshot, watcher) = match prepared {
            Prepared::Now(record) => {
                // The stream continues exactly where the snapshot ends.
                let begin = Begin::After(record.workspace.last_sequence);
                let (_, watcher) = self.watching.begin(slot, &record.id, begin, until).await?;
                (record.workspace, watcher)
            }
            Prepared::Before(id) => {
                let begun = self.watching.begin(slot, &id, Begin::Snapshot, until);
                let (snapshot, watcher) = begun.await?;
                (seen(&self.fleet, snapshot), watcher)
            }
        };
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
        let paging = faults.complete(paging)?;
        let read = |before, limit| self.workspaces.list(before, limit);
        let sees = |workspace: &Workspace| {
            let spec = workspace.spec.as_ref();
            caller.sees_url(spec.map_or("", |spec| &spec.repository))
        };
        let (workspaces, next_page_token) = paging.visible(read, sees).await?;
        let workspaces = workspaces.into_iter();
        let seen = workspaces.map(|workspace| seen(&self.fleet, workspace));
        Ok(Response::new(ListWorkspacesResponse {
            workspaces: seen.collect(),
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
}

impl WorkspaceApi {
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
