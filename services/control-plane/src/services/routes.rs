use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use hearth_api::v1::{
    agent_registry_service_server::AgentRegistryServiceServer,
    cache_index_service_server::CacheIndexServiceServer, cache_service_server::CacheServiceServer,
    credential_service_server::CredentialServiceServer,
    join_token_service_server::JoinTokenServiceServer, node_service_server::NodeServiceServer,
    workspace_service_server::WorkspaceServiceServer,
};
use hearth_runtime::Obstacle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::{
    agent_registry::AgentRegistryApi,
    cache::CacheApi,
    cache_index::CacheIndexApi,
    caller::{Guard, agents_only},
    credentials::CredentialApi,
    join_tokens::JoinTokenApi,
    nodes::NodeApi,
    workspaces::WorkspaceApi,
};
use crate::{
    cache::{CacheRules, Entries, Explanations, Index, Signing, Verification},
    identity::{Enrolment, JoinTokens},
    node::{Fleet, Nodes, Sessions},
    probe::{AttemptLogins, Probe},
    workspace::{Deletions, Recovery, Watching, Workspaces},
};

/// What the services work with.
pub(crate) struct Served {
    pub(crate) workspaces: Arc<Workspaces>,
    pub(crate) watching: Arc<Watching>,
    pub(crate) deletions: Arc<Deletions>,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) nodes: Arc<Nodes>,
    /// What keeps the control plane from taking work.
    pub(crate) obstacle: Obstacle,
    /// Ends what does not end by itself.
    pub(crate) stopping: CancellationToken,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) sessions: Arc<Sessions>,
    /// Seconds without a heartbeat after which a node counts as lost.
    pub(crate) lease_seconds: u32,
    pub(crate) rules: Arc<CacheRules>,
    pub(crate) index: Arc<Index>,
    pub(crate) entries: Arc<Entries>,
    pub(crate) explanations: Arc<Explanations>,
    pub(crate) probe: Arc<Probe>,
    pub(crate) signing: Arc<Signing>,
    pub(crate) verification: Verification,
    pub(crate) logins: Arc<AttemptLogins>,
    /// `None`: nodes have no certificates.
    pub(crate) enrolment: Option<Arc<Enrolment>>,
    pub(crate) join_tokens: Arc<JoinTokens>,
}

/// All services on one port.
pub(crate) fn routes(served: Served) -> Routes {
    let workspaces = WorkspaceApi {
        workspaces: served.workspaces,
        watching: served.watching,
        deletions: served.deletions,
        fleet: served.fleet,
    };
    let public_key = served.signing.public_key().map(ToString::to_string);
    let public_keys = served.signing.keys().map(ToString::to_string);
    let registry = AgentRegistryApi {
        nodes: served.nodes.clone(),
        recovery: served.recovery.clone(),
        stopping: served.stopping,
        lease_seconds: served.lease_seconds,
        cache_public_key: public_keys.unwrap_or_default(),
        enrolment: served.enrolment.clone(),
    };
    let cache = CacheApi {
        rules: served.rules,
        entries: served.entries,
        explanations: served.explanations,
        probe: served.probe,
        verification: served.verification,
        public_key: public_key.unwrap_or_default(),
    };
    let nodes = NodeApi {
        nodes: served.nodes,
        recovery: served.recovery,
        obstacle: served.obstacle,
    };
    let index = CacheIndexApi(served.index);
    let credentials = CredentialApi(served.logins);
    let mut routes = Routes::new(AgentRegistryServiceServer::new(registry))
        .add_service(CacheIndexServiceServer::new(index))
        .add_service(CredentialServiceServer::new(credentials));
    // In front of what was added so far.
    let guard = Arc::new(Guard {
        sessions: served.sessions,
        certified: served.enrolment.is_some(),
    });
    let guard = from_fn_with_state(guard, agents_only);
    let router = routes.axum_router_mut();
    *router = std::mem::take(router).route_layer(guard);
    routes
        .add_service(WorkspaceServiceServer::new(workspaces))
        .add_service(NodeServiceServer::new(nodes))
        .add_service(CacheServiceServer::new(cache))
        .add_service(JoinTokenServiceServer::new(JoinTokenApi(
            served.join_tokens,
        )))
}
