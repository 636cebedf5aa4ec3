use std::sync::Arc;

use secrecy::SecretString;

use super::{
    fleet::{Fleet, NodeView, Standing},
    sessions::Sessions,
};
use crate::{
    clock::now,
    error::CallError,
    store::{Store, StoredNode},
};

/// The nodes as their agents report them.
pub(crate) struct Nodes {
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    sessions: Arc<Sessions>,
}

impl Nodes {
    pub(crate) fn new(store: Arc<dyn Store>, fleet: Arc<Fleet>, sessions: Arc<Sessions>) -> Self {
        Self {
            store,
            fleet,
            sessions,
        }
    }

    /// Enters a node, or what is new about it; returns the token that its agent identifies itself with.
    pub(crate) async fn register(&self, node: StoredNode) -> Result<SecretString, CallError> {
        self.store.put_node(&node).await?;
        tracing::info!(
            node = node.name,
            endpoint = node.info.endpoint,
            boot_id = node.info.boot_id,
            "node registered"
        );
        let name = node.name.clone();
        self.fleet.register(node);
        self.sessions.open(&name).await
    }

    /// Notes a heartbeat; false when no node with this boot id is known.
    pub(crate) async fn heartbeat(&self, name: &str, boot_id: &str, disk_free_bytes: u64) -> bool {
        let heard = self.fleet.heartbeat(name, boot_id, disk_free_bytes, now());
        let Some(heard) = heard else {
            return false;
        };
        let node = StoredNode {
            name: heard.name,
            platform: heard.platform,
            info: heard.info,
            heartbeat: heard.heartbeat,
        };
        // The lease is held already; that the time of it is shown after a restart is not worth a failed call.
        if let Err(error) = self.store.put_node(&node).await {
            tracing::error!(node = node.name, %error, "cannot store a heartbeat");
        }
        true
    }

    /// All nodes by name, and how many workspaces each has.
    pub(crate) async fn list(&self) -> Result<Vec<(NodeView, u32)>, CallError> {
        let counts = self.store.counts().await?;
        let workspaces = |node: &NodeView| {
            let of_node = counts.iter().filter(|count| count.node == node.name);
            of_node.map(|count| count.workspaces).sum()
        };
        let nodes = self.fleet.all().into_iter();
        Ok(nodes
            .map(|node| {
                let workspaces = workspaces(&node);
                (node, workspaces)
            })
            .collect())
    }

    /// The online node with the fewest workspaces.
    pub(crate) async fn least_loaded(&self) -> Result<String, CallError> {
        let nodes = self.list().await?.into_iter();
        nodes
            .filter(|(node, _)| node.standing == Standing::Online)
            .map(|(node, workspaces)| (workspaces, node.name))
            .min()
            .map(|(_, name)| name)
            .ok_or(CallError::NoNode)
    }

    /// Refuses a node that cannot take work.
    pub(crate) fn check_online(&self, name: &str) -> Result<(), CallError> {
        match self.fleet.get(name) {
            None => Err(CallError::NodeUnknown(name.to_owned())),
            Some(node) if node.standing == Standing::Lost => Err(CallError::NodeLost(node.name)),
            Some(_) => Ok(()),
        }
    }
}
