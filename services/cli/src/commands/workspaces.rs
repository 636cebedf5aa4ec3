use hearth_api::v1::{
    DeleteWorkspaceRequest, GetWorkspaceRequest, ListWorkspacesRequest,
    workspace_service_client::WorkspaceServiceClient,
};
use hearth_domain::WorkspaceId;

use super::{
    context::Context,
    lists::{PAGE_SIZE, print_pages},
};
use crate::{
    connect::Channel,
    error::CliError,
    exit::Exit,
    render::{
        summary,
        table::{self, Room},
    },
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
pub(super) async fn ls(context: &Context, room: Room) -> Result<Exit, CliError> {
    let mut client = client(context).await?;
    let page = async |page_token| {
        let request = ListWorkspacesRequest {
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = context.answer(client.list_workspaces(request).await)?;
        Ok((page.workspaces, page.next_page_token))
    };
    let table = |rows: &[_], now: &_| table::workspaces(rows, room, now);
    print_pages(context, page, table).await?;
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
