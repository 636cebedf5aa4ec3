use hearth_api::v1::{ListNodesRequest, RemoveNodeRequest, node_service_client::NodeServiceClient};
use hearth_domain::text::printable_line;

use super::context::{Context, now};
use crate::{
    error::CliError,
    exit::Exit,
    out,
    render::table::{self, Room},
};

/// `hearth nodes`
pub(super) async fn nodes(context: &Context, room: Room) -> Result<Exit, CliError> {
    let mut client = NodeServiceClient::new(context.connect().await?);
    let response = client.list_nodes(ListNodesRequest {}).await;
    let nodes = context.answer(response)?.nodes;
    match &context.json {
        Some(json) => json.print_all(&nodes)?,
        None => out::print(&table::nodes(&nodes, room, &now()))?,
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
