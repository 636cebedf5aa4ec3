use std::sync::Arc;

use hearth_api::v1::{
    ListNodesRequest, ListNodesResponse, Node, NodeState, RemoveNodeRequest, RemoveNodeResponse,
    RemoveQuarantinedRequest, RemoveQuarantinedResponse, node_service_server::NodeService,
};
use hearth_domain::WorkspaceId;
use hearth_runtime::{FieldFaults, Obstacle};
use tonic::{Request, Response, Status};

use crate::{
    access::Caller,
    identity::Ca,
    node::{Nodes, Standing},
    workspace::Recovery,
};

/// Serves `NodeService`.
pub(super) struct NodeApi {
    pub(super) nodes: Arc<Nodes>,
    pub(super) recovery: Arc<Recovery>,
    /// What keeps the control plane from taking work.
    pub(super) obstacle: Obstacle,
    /// `None`: nodes have no certificates.
    pub(super) ca: Option<Arc<Ca>>,
}

#[tonic::async_trait]
impl NodeService for NodeApi {
    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let is_limited = Caller::of(&request)?.is_limited();
        let nodes = self.nodes.list().await?.into_iter();
        let nodes = nodes.map(|(node, workspaces)| Node {
            name: node.name,
            state: match node.standing {
                Standing::Online => NodeState::Online,
                Standing::Lost => NodeState::Lost,
                Standing::Left => NodeState::Left,
                Standing::Unavailable => NodeState::Unavailable,
                Standing::Expected => NodeState::Expected,
            }
            .into(),
            info: Some(node.info),
            workspaces,
            heartbeat_time: Some(node.heartbeat),
            // Of whichever repository they are, the control plane does not know it.
            quarantined: match is_limited {
                true => Vec::new(),
                false => node.quarantined,
            },
            trust: node.trust,
        });
        Ok(Response::new(ListNodesResponse {
            nodes: nodes.collect(),
            problem: self.obstacle.get().unwrap_or_default(),
            control_plane_id: self.nodes.identity().to_owned(),
            authorities_sha256: self
                .ca
                .as_ref()
                .map_or_else(Vec::new, |ca| ca.trusted().fingerprints()),
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

    async fn remove_quarantined(
        &self,
        request: Request<RemoveQuarantinedRequest>,
    ) -> Result<Response<RemoveQuarantinedResponse>, Status> {
        let RemoveQuarantinedRequest {
            node,
            workspace_ids,
        } = request.into_inner();
        let mut faults = FieldFaults::default();
        if workspace_ids.is_empty() {
            faults.add("workspace_ids", "must name at least one workspace");
        }
        let ids: Result<Vec<WorkspaceId>, _> = workspace_ids.iter().map(|id| id.parse()).collect();
        let ids = faults.check("workspace_ids", ids);
        let ids = faults.complete(ids)?;
        self.recovery.remove_quarantined(&node, &ids).await?;
        Ok(Response::new(RemoveQuarantinedResponse {}))
    }
}
