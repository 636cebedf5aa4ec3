use std::sync::Arc;

use hearth_api::v1::{
    ListNodesRequest, ListNodesResponse, Node, NodeState, node_service_server::NodeService,
};
use tonic::{Request, Response, Status};

use crate::{core::Core, error::CallError, fleet::Standing};

/// Serves `NodeService`.
pub(super) struct Nodes(pub(super) Arc<Core>);

#[tonic::async_trait]
impl NodeService for Nodes {
    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let counts = self.0.store.counts().await.map_err(CallError::from)?;
        let nodes = self.0.fleet.all().into_iter().map(|node| {
            let state = match node.standing {
                Standing::Online => NodeState::Online,
                Standing::Lost => NodeState::Lost,
            };
            let workspaces = counts
                .iter()
                .filter(|count| count.node == node.name)
                .map(|count| count.workspaces)
                .sum();
            Node {
                name: node.name,
                state: state.into(),
                info: Some(node.info),
                workspaces,
                heartbeat_time: Some(node.heartbeat),
            }
        });
        Ok(Response::new(ListNodesResponse {
            nodes: nodes.collect(),
        }))
    }
}
