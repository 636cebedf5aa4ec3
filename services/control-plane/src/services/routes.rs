use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use hearth_api::v1::{
    agent_registry_service_server::AgentRegistryServiceServer,
    cache_index_service_server::CacheIndexServiceServer, cache_service_server::CacheServiceServer,
    client_service_server::ClientServiceServer, credential_service_server::CredentialServiceServer,
    join_token_service_server::JoinTokenServiceServer, node_service_server::NodeServiceServer,
    secret_service_server::SecretServiceServer, workspace_service_server::WorkspaceServiceServer,
};
use hearth_runtime::Obstacle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::{
    agent_registry::AgentRegistryApi,
    cache::CacheApi,
    cache_index::CacheIndexApi,
    caller::{Guard, agents_only},
    clients::ClientApi,
    credentials::CredentialApi,
    join_tokens::JoinTokenApi,
    nodes::NodeApi,
    page_tokens::PageTokens,
    secrets::SecretApi,
    workspaces::WorkspaceApi,
};
use crate::{
    access::{self, Access, CertificateIssuer},
    cache::{CacheRules, Entries, Explanations, Index, Signing, Verification},
    enter::Entrances,
    identity::{Enrolment, JoinTokens},
    node::{Fleet, Nodes},
    probe::{AttemptLogins, Probe},
    repositories::Repositories,
    secrets::Secrets,
    workspace::{BuildLogs, Deletions, LifetimeArgs, Recovery, Stops, Uses, Watching, Workspaces},
};

/// Bytes that a message of an agent may have. A heartbeat names 10,000 workspaces in four lists at most, and an entry of the
/// cache has the manifest of its key.
const MAX_AGENT_MESSAGE: usize = 4 * 1024 * 1024;

/// What the services work with.
pub(crate) struct Served {
    pub(crate) access: Arc<Access>,
    pub(crate) pages: PageTokens,
    /// Signs certificates of clients, where there is a CA.
    pub(crate) issuer: Option<Arc<dyn CertificateIssuer>>,
    /// Bytes that a message of a client may have.
    pub(crate) max_message_bytes: usize,
    pub(crate) workspaces: Arc<Workspaces>,
    pub(crate) watching: Arc<Watching>,
    pub(crate) deletions: Arc<Deletions>,
    pub(crate) stops: Arc<Stops>,
    /// How long workspaces may run.
    pub(crate) lifetimes: LifetimeArgs,
    pub(crate) entrances: Entrances,
    pub(crate) uses: Uses,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) nodes: Arc<Nodes>,
    /// What keeps the control plane from taking work.
    pub(crate) obstacle: Obstacle,
    /// Ends what does not end by itself.
    pub(crate) stopping: CancellationToken,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) repositories: Arc<Repositories>,
    pub(crate) build_logs: BuildLogs,
    /// Images that nodes fetch in advance.
    pub(crate) default_images: Vec<String>,
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
    pub(crate) secrets: Arc<Secrets>,
}

/// All services on one port.
pub(crate) fn routes(served: Served) -> Routes {
    let workspaces = WorkspaceApi {
        workspaces: served.workspaces,
        watching: served.watching,
        deletions: served.deletions,
        stops: served.stops,
        lifetimes: served.lifetimes,
        uses: served.uses,
        fleet: served.fleet,
        entrances: served.entrances,
        repositories: served.repositories,
        build_logs: served.build_logs,
        pages: served.pages.clone(),
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
        default_images: served.default_images,
    };
    let cache = CacheApi {
        pages: served.pages.clone(),
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
        ca: served
            .enrolment
            .as_ref()
            .map(|enrolment| enrolment.ca().clone()),
    };
    let clients = ClientApi {
        pages: served.pages.clone(),
        access: served.access.clone(),
        issuer: served.issuer,
    };
    let registry = AgentRegistryServiceServer::new(registry);
    let index = CacheIndexServiceServer::new(CacheIndexApi(served.index));
    let credentials = CredentialServiceServer::new(CredentialApi {
        logins: served.logins,
        secrets: served.secrets.clone(),
    });
    let mut routes = Routes::new(registry.max_decoding_message_size(MAX_AGENT_MESSAGE))
        .add_service(index.max_decoding_message_size(MAX_AGENT_MESSAGE))
        .add_service(credentials.max_decoding_message_size(MAX_AGENT_MESSAGE));
    // In front of what was added so far.
    let guard = Arc::new(Guard {
        certified: served.enrolment.is_some(),
    });
    let guard = from_fn_with_state(guard, agents_only);
    let router = routes.axum_router_mut();
    *router = std::mem::take(router).route_layer(guard);
    let most = served.max_message_bytes;
    let join_tokens = JoinTokenServiceServer::new(JoinTokenApi(served.join_tokens));
    let secrets = SecretServiceServer::new(SecretApi {
        secrets: served.secrets,
        pages: served.pages.clone(),
    });
    let mut routes = routes
        .add_service(WorkspaceServiceServer::new(workspaces).max_decoding_message_size(most))
        .add_service(NodeServiceServer::new(nodes).max_decoding_message_size(most))
        .add_service(CacheServiceServer::new(cache).max_decoding_message_size(most))
        .add_service(ClientServiceServer::new(clients).max_decoding_message_size(most))
        .add_service(join_tokens.max_decoding_message_size(most))
        .add_service(secrets.max_decoding_message_size(most));
    // In front of all of them.
    let guard = from_fn_with_state(served.access, access::check);
    let router = routes.axum_router_mut();
    *router = std::mem::take(router).route_layer(guard);
    routes
}
