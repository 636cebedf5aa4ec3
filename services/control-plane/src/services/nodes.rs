use std::sync::Arc;

use hearth_api::v1::{
    ListNodesRequest, ListNodesResponse, Node, NodeState, RemoveNodeRequest, RemoveNodeResponse,
    node_service_server::NodeService,
};
use tonic::{Request, Response, Status};

use crate::node::{Nodes, Standing};

/// Serves `NodeService`.
pub(super) struct NodeApi(pub(super) Arc<Nodes>);

#[tonic::async_trait]
impl NodeService for NodeApi {
    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let nodes = self.0.list().await?.into_iter();
        let nodes = nodes.map(|(node, workspaces)| Node {
            name: node.name,
            state: match node.standing {
                Standing::Online => NodeState::Online,
                Standing::Lost => NodeState::Lost,
                Standing::Left => NodeState::Left,
                Standing::Unavailable => NodeState::Unavailable,
            }
            .into(),
            info: Some(node.info),
            workspaces,
            heartbeat_time: Some(node.heartbeat),
        });
        Ok(Response::new(ListNodesResponse {
            nodes: nodes.collect(),
        }))
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeResponse>, Status> {
        let RemoveNodeRequest { name, force } = request.into_inner();
        self.0.remove(&name, force).await?;
        Ok(Response::new(RemoveNodeResponse {}))
    }
}
