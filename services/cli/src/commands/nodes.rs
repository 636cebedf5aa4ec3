use hearth_api::v1::{
    ListNodesRequest, RemoveNodeRequest, RemoveQuarantinedRequest, RemoveQuarantinedResponse,
    node_service_client::NodeServiceClient,
};
use hearth_domain::{WorkspaceId, text::printable_line};

use super::context::{Context, now};
use crate::{
    error::CliError,
    exit::Exit,
    out,
    render::{
        table::{self, Room},
        trust,
    },
};

/// `hearth nodes`
pub(super) async fn nodes(context: &Context, room: Room) -> Result<Exit, CliError> {
    let mut client = NodeServiceClient::new(context.connect().await?);
    let response = client.list_nodes(ListNodesRequest {}).await;
    let listed = context.answer(response)?;
    match &context.json {
        Some(json) => json.print_all(&listed.nodes)?,
        None => {
            let nodes = table::nodes(&listed.nodes, room, &now());
            out::print(&(nodes + &trust::authorities(&listed)))?;
        }
    }
    Ok(Exit::Ok)
}

/// `hearth nodes rm`
pub(super) async fn rm(context: &Context, name: &str, force: bool) -> Result<Exit, CliError> {
    let mut client = NodeServiceClient::new(context.connect().await?);
    let request = RemoveNodeRequest {
        name: name.to_owned(),
        force,
    };
    let removed = context.answer(client.remove_node(request).await)?;
    context.show(&removed, |_| format!("removed {}", printable_line(name)))?;
    Ok(Exit::Ok)
}

/// `hearth nodes discard`: these workspaces, or all that are in quarantine.
pub(super) async fn discard(
    context: &Context,
    name: &str,
    workspaces: &[WorkspaceId],
) -> Result<Exit, CliError> {
    let mut client = NodeServiceClient::new(context.connect().await?);
    let workspace_ids: Vec<String> = match workspaces {
        [] => {
            let listed = context.answer(client.list_nodes(ListNodesRequest {}).await)?;
            let node = listed.nodes.into_iter().filter(|node| node.name == name);
            node.flat_map(|node| node.quarantined)
                .map(|one| one.workspace_id)
                .collect()
        }
        some => some.iter().map(ToString::to_string).collect(),
    };
    if workspace_ids.is_empty() {
        context.show(&RemoveQuarantinedResponse {}, |_| {
            format!("nothing is in quarantine on {}", printable_line(name))
        })?;
        return Ok(Exit::Ok);
    }
    let ids = printable_line(&workspace_ids.join(", "));
    let request = RemoveQuarantinedRequest {
        node: name.to_owned(),
        workspace_ids,
    };
    let removed = context.answer(client.remove_quarantined(request).await)?;
    context.show(&removed, |_| {
        format!("removed from {}: {ids}", printable_line(name))
    })?;
    Ok(Exit::Ok)
}
