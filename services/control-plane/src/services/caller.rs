use std::{sync::Arc, time::SystemTime};

use axum::{
    body::Body,
    extract::{Request as Incoming, State},
    middleware::Next,
    response::Response,
};
use hearth_api::v1::agent_registry_service_server::SERVICE_NAME;
use hearth_domain::{Identity, Name};
use hearth_runtime::Peer;
use http::{header::AUTHORIZATION, request::Parts};
use http_body_util::Limited;
use tonic::{Request, Status};

use crate::{
    access::Access, error::CallError, identity::IdentityError, node::Sessions, record::Record,
};

/// A certification request of the longest key has some 2 KiB, a token of a service account some more.
const MAX_ENROLMENT_BYTES: usize = 64 * 1024;

/// What tells agents from others.
pub(super) struct Guard {
    /// Whether they have certificates.
    pub(super) certified: bool,
}

/// The node whose agent calls.
#[derive(Clone, Debug)]
pub(super) struct Caller(String);

/// The node whose session a call has. Whether it may be used on its connection is not known yet.
#[derive(Clone, Debug)]
struct InSession(String);

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
        let node = sessions.node(&call.headers);
        if let Some(node) = &node {
            call.extensions.insert(InSession(node.clone()));
        }
        let node = node.and_then(|node| node.parse().ok()).map(Identity::Node);
        let client = || access.named(&call.headers).map(Identity::Client);
        if let Some(identity) = node.or_else(client) {
            call.extensions.insert(identity);
        }
    }
}
/// The node whose certificate the connection of a call has.
#[derive(Clone, Debug)]
pub(super) struct CertifiedNode {
    pub(super) name: Name,
    /// SHA-256 of the certificate's public key, in hex.
    pub(super) key: String,
}

/// Stands in front of all services for agents and lets nobody else in: others do not even learn which workspaces exist.
/// Only Enrol needs no certificate, since it leads to the first one, and only Register no session, since it begins one; renewing
/// a certificate needs none either.
pub(super) async fn agents_only(
    State(guard): State<Arc<Guard>>,
    mut request: Incoming,
    next: Next,
) -> Response {
    let call = call(request.uri().path());
    if call == Some("Enrol") {
        // Whoever sends it has proved nothing yet.
        let small = |body| Body::new(Limited::new(body, MAX_ENROLMENT_BYTES));
        return next.run(request.map(small)).await;
    }
    let session = request.extensions_mut().remove::<InSession>();
    let peer = request.extensions().get::<Peer>();
    let certified = peer.and_then(|peer| certified(peer, SystemTime::now()));
    if guard.certified && certified.is_none() {
        return Status::from(IdentityError::NoCertificate).into_http();
    }
    if let Some(InSession(node)) = session {
        let is_another = |certified: &CertifiedNode| certified.name.as_str() != node;
        if certified.as_ref().is_some_and(is_another) {
            tracing::warn!(?peer, node, "a node used the session of another one");
            return Status::from(CallError::SessionUnknown).into_http();
        }
        request.extensions_mut().insert(Caller(node));
    } else if !matches!(call, Some("Register" | "RenewCertificate")) {
        return Status::from(CallError::SessionUnknown).into_http();
    }
    if let Some(certified) = certified {
        request.extensions_mut().insert(certified);
    }
    next.run(request).await
}

/// The name of a call to the registry of agents.
fn call(path: &str) -> Option<&'static str> {
    let (service, call) = path.strip_prefix('/')?.split_once('/')?;
    match call {
        "Enrol" => Some("Enrol"),
        "Register" => Some("Register"),
        "RenewCertificate" => Some("RenewCertificate"),
        _ => None,
    }
    .filter(|_| service == SERVICE_NAME)
}

/// The node of a certificate that has not expired since the connection was made.
fn certified(peer: &Peer, now: SystemTime) -> Option<CertifiedNode> {
    let certificate = peer.certificate.as_ref()?;
    match &certificate.identity {
        Identity::Node(name) if now < certificate.not_after => Some(CertifiedNode {
            name: name.clone(),
            key: certificate.key.clone(),
        }),
        Identity::Node(_) | Identity::Client(_) => None,
    }
}

/// The node of the certificate of a call, where nodes have certificates.
pub(super) fn certified_node<T>(request: &Request<T>) -> Option<CertifiedNode> {
    request.extensions().get().cloned()
}

/// Ends when the certificate of a call's connection does; never, where there is none.
pub(super) fn end_of_certificate<T>(request: &Request<T>) -> impl Future<Output = ()> + use<T> {
    let peer = request.extensions().get::<Peer>();
    let certificate = peer.and_then(|peer| peer.certificate.as_ref());
    let left = certificate.map(|certificate| {
        let left = certificate.not_after.duration_since(SystemTime::now());
        left.unwrap_or_default()
    });
    async move {
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hearth_runtime::PeerCertificate;

    use super::*;

    #[test]
    fn a_certificate_counts_until_it_ends_and_only_a_nodes() {
        let now = SystemTime::now();
        let peer = |identity: &str| Peer {
            address: None,
            certificate: Some(PeerCertificate {
                key: "key".to_owned(),
                identity: identity.parse().expect("an identity"),
                not_after: now,
            }),
        };
        let second = Duration::from_secs(1);
        let node = peer("spiffe://hearth/node/n1");
        let found = certified(&node, now - second).expect("a node");
        assert_eq!((found.name.as_str(), &*found.key), ("n1", "key"));
        assert!(certified(&node, now).is_none());
        let client = peer("spiffe://hearth/client/n1");
        assert!(certified(&client, now - second).is_none());
        assert!(certified(&Peer::default(), now).is_none());
    }

    #[test]
    fn only_calls_of_the_registry_of_agents_are_exempt() {
        let path = |call: &str| format!("/{SERVICE_NAME}/{call}");
        assert_eq!(call(&path("Enrol")), Some("Enrol"));
        assert_eq!(call(&path("Register")), Some("Register"));
        assert_eq!(call(&path("Heartbeat")), None);
        assert_eq!(call("/hearth.v1.CacheIndexService/Enrol"), None);
        assert_eq!(call("Enrol"), None);
    }
}
