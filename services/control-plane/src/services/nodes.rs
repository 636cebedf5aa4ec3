use std::sync::Arc;

use hearth_api::v1::{
    ListNodesRequest, ListNodesResponse, Node, NodeState, RemoveNodeRequest, RemoveNodeResponse,
    node_service_server::NodeService,
};
use hearth_runtime::Obstacle;
use tonic::{Request, Response, Status};

use crate::node::{Nodes, Standing};

/// Serves `NodeService`.
pub(super) struct NodeApi {
    pub(super) nodes: Arc<Nodes>,
    /// What keeps the control plane from taking work.
    pub(super) obstacle: Obstacle,
}

#[tonic::async_trait]
impl NodeService for NodeApi {
    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let nodes = self.nodes.list().await?.into_iter();
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
            problem: self.obstacle.get().unwrap_or_default(),
        }))
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeResponse>, Status> {
        let RemoveNodeRequest { name, force } = request.into_inner();
        self.nodes.remove(&name, force).await?;
        Ok(Response::new(RemoveNodeResponse {}))
    }
}
