use hearth_api::v1::{ListNodesRequest, node_service_client::NodeServiceClient};

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
