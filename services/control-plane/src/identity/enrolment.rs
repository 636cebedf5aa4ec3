use std::{fmt::Display, net::SocketAddr, sync::Arc};

use hearth_domain::{Identity, Name};
use hearth_runtime::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use secrecy::SecretString;

use super::{
    ca::{Ca, Issued, key_digest},
    error::IdentityError,
    join_tokens,
    service_accounts::{NamedBy, ServiceAccounts},
};
use crate::{
    node::{Fleet, Standing},
    store::{Joining, NodeKey, Store},
};

/// Lets nodes join, and issues their certificates.
pub(crate) struct Enrolment {
    ca: Arc<Ca>,
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    accounts: Option<ServiceAccounts>,
    counter: Family<Outcome, Counter>,
}

/// What proves that a node may join.
#[derive(Debug)]
pub(crate) enum Proof {
    /// A join token, without the digest of the CA.
    JoinToken(SecretString),
    /// A token of the service account of its pod.
    ServiceAccount(SecretString),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    call: &'static str,
    outcome: &'static str,
}

impl Enrolment {
    pub(crate) fn new(
        ca: Arc<Ca>,
        store: Arc<dyn Store>,
        fleet: Arc<Fleet>,
        accounts: Option<ServiceAccounts>,
        metrics: &Metrics,
    ) -> Self {
        let counter = Family::<Outcome, Counter>::default();
        metrics.register(|registry| {
            registry.register(
                "node_certificates",
                "Certificates that nodes asked for, by call (ENROL, RENEW) and outcome (ISSUED, REFUSED, FAILED)",
                counter.clone(),
            );
        });
        Self {
            ca,
            store,
            fleet,
            accounts,
            counter,
        }
    }

    /// The CA.
    pub(crate) fn ca(&self) -> &Arc<Ca> {
        &self.ca
    }

    /// Issues the first certificate of a node.
    pub(crate) async fn enrol(
        &self,
        node: &Name,
        csr_der: &[u8],
        proof: &Proof,
        from: Option<SocketAddr>,
    ) -> Result<Issued, IdentityError> {
        let issued = self.try_enrol(node, csr_der, proof).await;
        self.told("ENROL", node, from, issued)
    }

    /// Issues the next certificate of a node, whose present one has this key.
    pub(crate) async fn renew(
        &self,
        node: &Name,
        key: &str,
        csr_der: &[u8],
        from: Option<SocketAddr>,
    ) -> Result<Issued, IdentityError> {
        let issued = self.try_renew(node, key, csr_der).await;
        self.told("RENEW", node, from, issued)
    }

    async fn try_enrol(
        &self,
        node: &Name,
        csr_der: &[u8],
        proof: &Proof,
    ) -> Result<Issued, IdentityError> {
        let key = key_digest(csr_der)?;
        let joining = Joining {
            node: node.as_str(),
            key: &key,
        };
        match proof {
            Proof::JoinToken(secret) => {
                let token = join_tokens::valid(&*self.store, secret, node).await?;
                self.check_name(joining).await?;
                join_tokens::take(&*self.store, &token, joining).await?;
            }
            Proof::ServiceAccount(token) => {
                let accounts = self.accounts.as_ref().ok_or_else(|| {
                    IdentityError::Refused("no service account may join: --kubernetes-nodes (HEARTH_KUBERNETES_NODES) of the control plane names those that may".to_owned())
                })?;
                if accounts.check(token, node).await? == NamedBy::Pod {
                    self.check_name(joining).await?;
                }
                self.store.put_node_key(joining).await?;
            }
        }
        self.issue(node, csr_der)
    }

    async fn try_renew(
        &self,
        node: &Name,
        key: &str,
        csr_der: &[u8],
    ) -> Result<Issued, IdentityError> {
        if key_digest(csr_der)? != key {
            return Err(IdentityError::Refused(format!(
                "the certificate of {node} is renewed for its own key alone; join with the new one"
            )));
        }
        self.check_key(node, key).await?;
        self.issue(node, csr_der)
    }

    /// Fails unless a name still is that of a node whose certificate has this key.
    pub(crate) async fn check_key(&self, node: &Name, key: &str) -> Result<(), IdentityError> {
        let name = node.as_str();
        match self.store.node_key(name).await? {
            Some(NodeKey::Of(known)) if known == key => Ok(()),
            Some(NodeKey::Of(_)) => Err(IdentityError::Refused(format!(
                "another node has joined as {node} since; give this one another name, or remove that one (`hearth nodes rm {node}`) and join again"
            ))),
            Some(NodeKey::Removed) => Err(IdentityError::Refused(format!(
                "node {node} was removed, and its certificate does not count any more; to let it in again, stop its agent, remove `identity` in its --state-dir, and give it a new join token (`hearth token create`)"
            ))),
            // The database is an older copy: its certificate proves that it has joined.
            None => Ok(self.store.put_node_key(Joining { node: name, key }).await?),
        }
    }

    /// A name belongs to the key that joined with it, until the node is lost or removed.
    async fn check_name(&self, joining: Joining<'_>) -> Result<(), IdentityError> {
        let Joining { node, key } = joining;
        let is_present = self
            .fleet
            .get(node)
            .is_some_and(|node| node.standing != Standing::Lost);
        let known = self.store.node_key(node).await?;
        if is_present && known != Some(NodeKey::Of(key.to_owned())) {
            return Err(IdentityError::Refused(format!(
                "there is a node {node} with another key; give this one another name, or remove that one: `hearth nodes rm {node}`"
            )));
        }
        Ok(())
    }

    fn issue(&self, node: &Name, csr_der: &[u8]) -> Result<Issued, IdentityError> {
        self.ca.issue(&Identity::Node(node.clone()), csr_der)
    }

    /// Counts and logs what came of a call.
    fn told(
        &self,
        call: &'static str,
        node: &Name,
        from: Option<SocketAddr>,
        issued: Result<Issued, IdentityError>,
    ) -> Result<Issued, IdentityError> {
        let peer = from.map_or_else(String::new, |address| address.to_string());
        let refused = |why: &dyn Display| {
            tracing::warn!(%node, peer, call, %why, "a node got no certificate");
            "REFUSED"
        };
        let outcome = match &issued {
            Ok(issued) => {
                tracing::info!(%node, peer, call, life_seconds = issued.life.as_secs(), "certificate issued");
                "ISSUED"
            }
            Err(IdentityError::Refused(why)) => refused(why),
            Err(IdentityError::Request(why)) => refused(why),
            Err(_) => "FAILED",
        };
        self.counter.get_or_create(&Outcome { call, outcome }).inc();
        issued
    }
}
