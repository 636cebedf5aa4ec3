//! The services of the contract. Handlers check, ask the store or queue work; the work itself is owned by tasks.

mod cache;
mod cache_index;
mod credentials;
mod explain;
mod nodes;
mod registry;
mod resolve;
mod validate;
mod watch;
mod workspaces;

use std::sync::Arc;

use hearth_api::v1::{
    agent_registry_service_server::AgentRegistryServiceServer,
    cache_index_service_server::CacheIndexServiceServer, cache_service_server::CacheServiceServer,
    credential_service_server::CredentialServiceServer, node_service_server::NodeServiceServer,
    workspace_service_server::WorkspaceServiceServer,
};
use tonic::service::Routes;

use crate::core::Core;

/// All services on one port.
pub(crate) fn routes(core: &Arc<Core>) -> Routes {
    let workspaces = workspaces::Workspaces(core.clone());
    let cache = cache_index::CacheIndex(core.clone());
    Routes::new(WorkspaceServiceServer::new(workspaces))
        .add_service(NodeServiceServer::new(nodes::Nodes(core.clone())))
        .add_service(AgentRegistryServiceServer::new(registry::Registry(
            core.clone(),
        )))
        .add_service(CacheIndexServiceServer::new(cache))
        .add_service(CacheServiceServer::new(cache::Cache(core.clone())))
        .add_service(CredentialServiceServer::new(credentials::Credentials(
            core.clone(),
        )))
}
