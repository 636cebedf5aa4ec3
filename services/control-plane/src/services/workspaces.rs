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
use uuid::Uuid;

use super::{
    validate::{self, Wanted, What},
    watch::{From as Begin, Watcher},
};
use crate::{
    clock::now, core::Core, deletion::Deletions, drivers::Drivers, error::CallError,
    fleet::Standing, record::Record, store::Once,
};

const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;
/// A message of 4 MiB is what clients accept without being told; half of it leaves room for the last workspace.
const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves `WorkspaceService`.
pub(super) struct Workspaces(pub(super) Arc<Core>);

#[tonic::async_trait]
impl WorkspaceService for Workspaces {
    type PrepareWorkspaceStream = Responses<PrepareWorkspaceResponse>;
    type WatchWorkspaceStream = Responses<WatchWorkspaceResponse>;

    async fn prepare_workspace(
        &self,
        request: Request<PrepareWorkspaceRequest>,
    ) -> Result<Response<Self::PrepareWorkspaceStream>, Status> {
        let wanted = validate::prepare(request.into_inner())?;
        let until = wanted.until;
        let core = self.0.clone();
        let prepared = self
            .0
            .detached(
                "prepare workspace",
                async move { prepare(&core, wanted).await },
            )
            .await?;
        let (snapshot, watcher) = match prepared {
            Prepared::Now(snapshot) => {
                // The log goes on exactly where the snapshot ends, whatever happened since.
                let begin = Begin::After(snapshot.last_sequence);
                let (_, watcher) = Watcher::begin(&self.0, &snapshot.id, begin, until).await?;
                (*snapshot, watcher)
            }
            Prepared::Before(id) => Watcher::begin(&self.0, &id, Begin::Snapshot, until).await?,
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
        validate::workspace_id(&request.workspace_id)?;
        let until = validate::until(request.until)?;
        let begin = match request.after_sequence {
            0 => Begin::Oldest,
            after => Begin::After(after),
        };
        let (snapshot, watcher) =
            Watcher::begin(&self.0, &request.workspace_id, begin, until).await?;
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
        let id = request.into_inner().workspace_id;
        validate::workspace_id(&id)?;
        let record = find(&self.0, &id).await?;
        Ok(Response::new(GetWorkspaceResponse {
            workspace: Some(record.workspace),
        }))
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        Ok(Response::new(list(&self.0, &request.into_inner()).await?))
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Result<Response<DeleteWorkspaceResponse>, Status> {
        let request = request.into_inner();
        validate::workspace_id(&request.workspace_id)?;
        Deletions::delete(&self.0, &request.workspace_id, request.force)
            .await
            .map_err(CallError::from)?;
        Ok(Response::new(DeleteWorkspaceResponse {}))
    }
}

/// What a call to prepare led to.
enum Prepared {
    /// A new attempt; the workspace as it was when it began.
    Now(Box<Workspace>),
    /// The same call was made before; the workspace that it led to.
    Before(String),
}

async fn prepare(core: &Arc<Core>, wanted: Wanted) -> Result<Prepared, CallError> {
    // A repeated call is answered even where a new one could not be.
    if let Some(request) = &wanted.request
        && let Some(record) = core.store.requested(request).await?
    {
        return Ok(Prepared::Before(record.workspace.id));
    }
    let once = match wanted.what {
        What::New(spec) => {
            let workspace = Workspace {
                id: new_id(),
                spec: Some(spec),
                node: place(core, wanted.node.as_deref()).await?,
                create_time: Some(now()),
                update_time: Some(now()),
                ..Workspace::default()
            };
            core.journal.create(workspace, wanted.request).await?
        }
        What::Again { workspace_id } => {
            let record = find(core, &workspace_id).await?;
            let node = record.workspace.node;
            if wanted.node.is_some_and(|wanted| wanted != node) {
                let mut faults = FieldFaults::default();
                faults.add(
                    "node",
                    format!("is not the workspace's own, which is {node}"),
                );
                faults.into_result()?;
            }
            online(core, &node)?;
            core.journal
                .begin_attempt(&workspace_id, wanted.request)
                .await?
        }
    };
    match once {
        Once::New(change) => {
            let workspace = change.record.workspace;
            tracing::info!(
                workspace.id = workspace.id,
                workspace.attempt,
                node = workspace.node,
                repository = workspace.spec.as_ref().map(|spec| spec.repository.as_str()),
                "attempt begins"
            );
            Drivers::start(core, &workspace.id);
            Ok(Prepared::Now(Box::new(workspace)))
        }
        Once::Before(record) => Ok(Prepared::Before(record.workspace.id)),
    }
}

/// The node that was asked for, or the one with the least to do.
async fn place(core: &Core, wanted: Option<&str>) -> Result<String, CallError> {
    if let Some(name) = wanted {
        online(core, name)?;
        return Ok(name.to_owned());
    }
    let counts = core.store.counts().await?;
    let load = |name: &str| -> u32 {
        let of_node = counts.iter().filter(|count| count.node == name);
        of_node.map(|count| count.workspaces).sum()
    };
    core.fleet
        .all()
        .into_iter()
        .filter(|node| node.standing == Standing::Online)
        .map(|node| (load(&node.name), node.name))
        .min()
        .map(|(_, name)| name)
        .ok_or(CallError::NoNode)
}

fn online(core: &Core, name: &str) -> Result<(), CallError> {
    match core.fleet.get(name) {
        None => Err(CallError::NodeUnknown(name.to_owned())),
        Some(node) if node.standing == Standing::Lost => Err(CallError::NodeLost(node.name)),
        Some(_) => Ok(()),
    }
}

async fn find(core: &Core, id: &str) -> Result<Record, CallError> {
    let record = core.store.workspace(id).await?;
    record.ok_or_else(|| CallError::WorkspaceUnknown(id.to_owned()))
}

async fn list(
    core: &Core,
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
    let found = core.store.list(before, limit + 1).await?;
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

/// Nobody can guess another's, and 48 random bits do not collide within one control plane; if they do, the database
/// refuses the second.
fn new_id() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("ws-{}", &random[..12])
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
