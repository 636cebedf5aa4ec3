use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream};
use hearth_api::v1::{
    DeleteWorkspaceRequest, DeleteWorkspaceResponse, Event, GetWorkspaceRequest,
    GetWorkspaceResponse, ListWorkspacesRequest, ListWorkspacesResponse, PrepareWorkspaceRequest,
    PrepareWorkspaceResponse, WatchWorkspaceRequest, WatchWorkspaceResponse, Workspace,
    prepare_workspace_response as prepared, watch_workspace_response as watched,
    workspace_service_server::WorkspaceService,
};
use hearth_runtime::FieldFaults;
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::validate;
use crate::{
    error::CallError,
    workspace::{Begin, Deletions, Prepared, Watcher, Watching, Workspaces},
};

const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;
/// A message of 4 MiB is what clients accept without being told; half of it leaves room for the last workspace.
const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves `WorkspaceService`.
pub(super) struct WorkspaceApi {
    pub(super) workspaces: Arc<Workspaces>,
    pub(super) watching: Arc<Watching>,
    pub(super) deletions: Arc<Deletions>,
}

#[tonic::async_trait]
impl WorkspaceService for WorkspaceApi {
    type PrepareWorkspaceStream = Responses<PrepareWorkspaceResponse>;
    type WatchWorkspaceStream = Responses<WatchWorkspaceResponse>;

    async fn prepare_workspace(
        &self,
        request: Request<PrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        let (wanted, until) = validate::prepare(request.into_inner())?;
        let prepared = self.workspaces.prepare(wanted).await?;
        let (snapshot, watcher) = match prepared {
            Prepared::Now(record) => {
                // The log goes on exactly where the snapshot ends, whatever happened since.
                let begin = Begin::After(record.workspace.last_sequence);
                let (_, watcher) = self.watching.begin(&record.id, begin, until).await?;
                (record.workspace, watcher)
            }
            Prepared::Before(id) => self.watching.begin(&id, Begin::Snapshot, until).await?,
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
        let request = request.into_inner();
        let id = validate::workspace_id(&request.workspace_id)?;
        let until = validate::until(request.until)?;
        let begin = match request.after_sequence {
            0 => Begin::Oldest,
            after => Begin::After(after),
        };
        let (snapshot, watcher) = self.watching.begin(&id, begin, until).await?;
        Ok(Response::new(responses(
            snapshot,
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
        let id = validate::workspace_id(&request.into_inner().workspace_id)?;
        let record = self.workspaces.find(&id).await?;
        Ok(Response::new(GetWorkspaceResponse {
            workspace: Some(record.workspace),
        }))
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        Ok(Response::new(
            list(&self.workspaces, &request.into_inner()).await?,
        ))
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Result<Response<DeleteWorkspaceResponse>, Status> {
        let request = request.into_inner();
        let id = validate::workspace_id(&request.workspace_id)?;
        self.deletions
            .delete(&id, request.force)
            .await
            .map_err(CallError::from)?;
        Ok(Response::new(DeleteWorkspaceResponse {}))
    }
}

async fn list(
    workspaces: &Workspaces,
    request: &ListWorkspacesRequest,
) -> Result<ListWorkspacesResponse, CallError> {
    let mut faults = FieldFaults::default();
    let before = match request.page_token.as_str() {
        "" => None,
        token => faults.check(
            "page_token",
            token
                .parse::<u64>()
                .map_err(|_| "is not one that was given out"),
        ),
    };
    faults.into_result()?;
    let limit = match request.page_size {
        0 => DEFAULT_PAGE,
        size => size.min(MAX_PAGE),
    };
    // One more than asked for tells whether there is another page.
    let found = workspaces.list(before, limit + 1).await?;
    let available = found.len();
    let mut response = ListWorkspacesResponse::default();
    let (mut bytes, mut last) = (0, 0);
    for (number, workspace) in found.into_iter().take(limit as usize) {
        bytes += workspace.encoded_len();
        if bytes > MAX_PAGE_BYTES && !response.workspaces.is_empty() {
            break;
        }
        last = number;
        response.workspaces.push(workspace);
    }
    if response.workspaces.len() < available {
        response.next_page_token = last.to_string();
    }
    Ok(response)
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
