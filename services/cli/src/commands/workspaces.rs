use hearth_api::v1::{
    DeleteWorkspaceRequest, GetWorkspaceRequest, ListWorkspacesRequest, RenewWorkspaceRequest,
    StopWorkspaceRequest, WorkspaceState, workspace_service_client::WorkspaceServiceClient,
};
use hearth_domain::{Repository, WorkspaceId};

use super::{
    context::Context,
    lists::{PAGE_SIZE, print_pages},
};
use crate::{
    args::{LifetimeArgs, LsArgs},
    connect::Channel,
    error::CliError,
    exit::Exit,
    render::{summary, table},
};

/// `hearth get`
pub(super) async fn get(context: &Context, workspace: &WorkspaceId) -> Result<Exit, CliError> {
    let request = GetWorkspaceRequest {
        workspace_id: workspace.to_string(),
    };
    let response = client(context).await?.get_workspace(request).await;
    let workspace = context.answer(response)?.workspace.unwrap_or_default();
    context.show(&workspace, summary::workspace)?;
    Ok(Exit::Ok)
}

/// `hearth ls`
pub(super) async fn ls(context: &Context, args: &LsArgs) -> Result<Exit, CliError> {
    let room = args.wide.room();
    let states = args.states.iter().map(|state| WorkspaceState::from(*state));
    let labels = args.labels.iter();
    let wanted = ListWorkspacesRequest {
        page_size: PAGE_SIZE,
        page_token: String::new(),
        states: states.map(i32::from).collect(),
        node: args.node.clone(),
        repository: args
            .repository
            .as_ref()
            .map(Repository::clone_url)
            .unwrap_or_default(),
        owner: args.owner.clone(),
        labels: labels
            .map(|label| (label.key.clone(), label.value.clone()))
            .collect(),
        request_id: args.request_id.clone(),
    };
    let mut client = client(context).await?;
    let page = async |page_token| {
        let request = ListWorkspacesRequest {
            page_token,
            ..wanted.clone()
        };
        let page = context.answer(client.list_workspaces(request).await)?;
        Ok((page.workspaces, page.next_page_token))
    };
    let table = |rows: &[_], now: &_| table::workspaces(rows, room, now);
    print_pages(context, page, table).await?;
    Ok(Exit::Ok)
}

/// `hearth stop`
pub(super) async fn stop(context: &Context, workspace: &WorkspaceId) -> Result<Exit, CliError> {
    let request = StopWorkspaceRequest {
        workspace_id: workspace.to_string(),
    };
    let response = client(context).await?.stop_workspace(request).await;
    let workspace = context.answer(response)?.workspace.unwrap_or_default();
    context.show(&workspace, summary::workspace)?;
    Ok(Exit::Ok)
}

/// `hearth renew`
pub(super) async fn renew(
    context: &Context,
    workspace: &WorkspaceId,
    lifetime: LifetimeArgs,
) -> Result<Exit, CliError> {
    let request = RenewWorkspaceRequest {
        workspace_id: workspace.to_string(),
        lifetime: lifetime.lifetime(),
    };
    let response = client(context).await?.renew_workspace(request).await;
    let workspace = context.answer(response)?.workspace.unwrap_or_default();
    context.show(&workspace, summary::workspace)?;
    Ok(Exit::Ok)
}

/// `hearth rm`
pub(super) async fn rm(
    context: &Context,
    workspace: &WorkspaceId,
    force: bool,
) -> Result<Exit, CliError> {
    let request = DeleteWorkspaceRequest {
        workspace_id: workspace.to_string(),
        force,
    };
    let response = client(context).await?.delete_workspace(request).await;
    let deleted = context.answer(response)?;
    context.show(&deleted, |_| format!("removed {workspace}"))?;
    Ok(Exit::Ok)
}

async fn client(context: &Context) -> Result<WorkspaceServiceClient<Channel>, CliError> {
    Ok(WorkspaceServiceClient::new(context.connect().await?))
}
