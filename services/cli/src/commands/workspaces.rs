//! Commands of one call each.

use std::time::SystemTime;

use hearth_api::v1::{
    DeleteWorkspaceRequest, GetWorkspaceRequest, ListNodesRequest, ListWorkspacesRequest,
    node_service_client::NodeServiceClient, workspace_service_client::WorkspaceServiceClient,
};
use prost_types::Timestamp;
use tonic::{Status, transport::Channel};

use super::Context;
use crate::{
    connect::connect,
    error::CliError,
    exit::Exit,
    render::{clean::line, summary, table},
};

/// The most that the contract allows, so that a large fleet takes few calls.
pub(super) const PAGE: u32 = 1000;

pub(super) async fn get(context: &Context<'_>, workspace_id: &str) -> Result<Exit, CliError> {
    let json = context.json()?;
    let request = GetWorkspaceRequest {
        workspace_id: workspace_id.to_owned(),
    };
    let response = workspaces(context).await?.get_workspace(request).await;
    let workspace = context.answer(response)?.workspace.unwrap_or_default();
    match json {
        Some(json) => context.print_json(&json, &workspace)?,
        None => context.out.print(&summary::workspace(&workspace))?,
    }
    Ok(Exit::Ok)
}

pub(super) async fn ls(context: &Context<'_>) -> Result<Exit, CliError> {
    let json = context.json()?;
    let mut client = workspaces(context).await?;
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListWorkspacesRequest {
            page_size: PAGE,
            page_token,
        };
        let page = context.answer(client.list_workspaces(request).await)?;
        match &json {
            Some(json) => {
                for workspace in &page.workspaces {
                    context.print_json(json, workspace)?;
                }
            }
            // Columns are as wide as their widest cell, so a table needs all of them.
            None => all.extend(page.workspaces),
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if json.is_none() {
        context.out.print(&table::workspaces(&all, &now()))?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn nodes(context: &Context<'_>) -> Result<Exit, CliError> {
    let json = context.json()?;
    let mut client = NodeServiceClient::new(connect(&context.cli.control_plane).await?);
    let nodes = context
        .answer(client.list_nodes(ListNodesRequest {}).await)?
        .nodes;
    match json {
        Some(json) => {
            for node in &nodes {
                context.print_json(&json, node)?;
            }
        }
        None => context.out.print(&table::nodes(&nodes, &now()))?,
    }
    Ok(Exit::Ok)
}

pub(super) async fn rm(
    context: &Context<'_>,
    workspace_id: &str,
    force: bool,
) -> Result<Exit, CliError> {
    let json = context.json()?;
    let request = DeleteWorkspaceRequest {
        workspace_id: workspace_id.to_owned(),
        force,
    };
    let response = workspaces(context).await?.delete_workspace(request).await;
    let deleted = context.answer(response)?;
    match json {
        Some(json) => context.print_json(&json, &deleted)?,
        None => context
            .out
            .print(&format!("removed {}", line(workspace_id)))?,
    }
    Ok(Exit::Ok)
}

async fn workspaces(context: &Context<'_>) -> Result<WorkspaceServiceClient<Channel>, CliError> {
    let channel = connect(&context.cli.control_plane).await?;
    Ok(WorkspaceServiceClient::new(channel))
}

impl Context<'_> {
    pub(super) fn answer<T>(
        &self,
        response: Result<tonic::Response<T>, Status>,
    ) -> Result<T, CliError> {
        response
            .map(tonic::Response::into_inner)
            .map_err(|status| CliError::call(&self.cli.control_plane, status))
    }
}

pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}
