use std::sync::Arc;

use axum::{
    extract::{Request as Incoming, State},
    middleware::Next,
    response::Response,
};
use hearth_api::v1::agent_registry_service_server::SERVICE_NAME;
use hearth_domain::Identity;
use http::{header::AUTHORIZATION, request::Parts};
use tonic::{Request, Status, metadata::MetadataMap};

use crate::{access::Access, error::CallError, node::Sessions, record::Record};

/// The node whose agent calls.
#[derive(Clone, Debug)]
pub(super) struct Caller(String);

/// Says which node or client makes a call, so that its calls count as its own, wherever they come from. It lets nobody in.
pub(crate) fn identify(
    sessions: &Arc<Sessions>,
    access: &Arc<Access>,
) -> impl Fn(&mut Parts) + Send + Sync + 'static {
    let (sessions, access) = (sessions.clone(), access.clone());
    move |call| {
        if !call.headers.contains_key(AUTHORIZATION) {
            return;
        }
        let metadata = MetadataMap::from_headers(call.headers.clone());
        let node = sessions.node(&metadata);
        let node = node.and_then(|node| node.parse().ok()).map(Identity::Node);
        let client = || access.named(&call.headers).map(Identity::Client);
        if let Some(identity) = node.or_else(client) {
            call.extensions.insert(identity);
        }
    }
}

/// Stands in front of all services for agents and lets nobody else in: others do not even learn which workspaces exist.
/// Only Register needs no session, since it begins one.
pub(super) async fn agents_only(
    State(sessions): State<Arc<Sessions>>,
    mut request: Incoming,
    next: Next,
) -> Response {
    let metadata = MetadataMap::from_headers(request.headers().clone());
    if let Some(node) = sessions.node(&metadata) {
        request.extensions_mut().insert(Caller(node));
    } else if !begins_session(request.uri().path()) {
        return Status::from(CallError::SessionUnknown).into_http();
    }
    next.run(request).await
}

fn begins_session(path: &str) -> bool {
    let call = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    call == Some((SERVICE_NAME, "Register"))
}

impl Caller {
    /// Who makes a call of a service that only agents reach.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, CallError> {
        let caller = request.extensions().get::<Self>();
        caller.cloned().ok_or(CallError::SessionUnknown)
    }

    /// Its name.
    pub(super) fn into_node(self) -> String {
        self.0
    }

    /// A node speaks for its own workspaces.
    pub(super) fn check(&self, record: &Record) -> Result<(), CallError> {
        self.check_node(&record.workspace.node)
    }

    /// A node speaks for itself.
    pub(super) fn check_node(&self, node: &str) -> Result<(), CallError> {
        match node == self.0 {
            true => Ok(()),
            false => Err(CallError::SessionUnknown),
        }
    }
}
