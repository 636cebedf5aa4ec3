use std::sync::Arc;

use hearth_api::v1::{HeartbeatRequest, WorkspaceState};
use hearth_domain::AttemptRef;
use hearth_runtime::Tunnel;
use http::HeaderMap;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{
    agents::Agents,
    fleet::{Fleet, NodeView, Standing},
    sessions::Sessions,
};
use crate::{
    clock::now,
    error::CallError,
    record::Record,
    store::{Store, StoreError, StoredNode},
};

/// Registration, heartbeats and lists of nodes.
pub(crate) struct Nodes {
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    sessions: Arc<Sessions>,
    agents: Arc<Agents>,
}

impl Nodes {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        fleet: Arc<Fleet>,
        sessions: Arc<Sessions>,
        agents: Arc<Agents>,
    ) -> Self {
        Self {
            store,
            fleet,
            sessions,
            agents,
        }
    }

    /// Adds a node, or replaces its registration. Returns the session token of its agent.
    pub(crate) async fn register(&self, node: StoredNode) -> Result<SecretString, CallError> {
        self.store.put_node(&node).await?;
        tracing::info!(
            node = node.name,
            boot_id = node.info.boot_id,
            "node registered"
        );
        let name = node.name.clone();
        self.fleet.register(node);
        let token = self.sessions.open(&name).await;
        // It belongs to the session before.
        self.agents.disconnect(&name);
        token
    }

    /// Takes a connection by which the agent of a node is called, if `proof` still is that of its session: the node may have
    /// been registered again, or removed, since the call was let in. The connection has to end with the token.
    pub(crate) fn connect(
        &self,
        node: &str,
        proof: &HeaderMap,
        tunnel: Tunnel,
        ended: CancellationToken,
    ) -> Result<(), CallError> {
        let is_current = || self.sessions.node(proof).as_deref() == Some(node);
        if !self.agents.connect(node, tunnel, ended, is_current) {
            return Err(CallError::SessionUnknown);
        }
        tracing::info!(node, "node connected");
        Ok(())
    }

    /// Forgets the connection of a node that ends with this token.
    pub(crate) fn disconnected(&self, node: &str, ended: &CancellationToken) {
        match self.agents.disconnected(node, ended) {
            true => tracing::info!(node, "a node's connection has ended"),
            // Another one has taken its place.
            false => tracing::debug!(node, "an older connection of a node has ended"),
        }
    }

    /// Notes that the agent of a node ends.
    pub(crate) async fn leave(&self, name: &str, boot_id: &str) -> Result<(), CallError> {
        if self.fleet.leave(name, boot_id) {
            tracing::info!(node = name, "node left");
            self.store.node_left(name).await?;
        }
        Ok(())
    }

    /// Forgets a node.
    pub(crate) async fn remove(&self, name: &str, force: bool) -> Result<(), CallError> {
        let node = self.fleet.known(name)?;
        if node.standing.is_there() && !force {
            return Err(CallError::NodeOnline(node.name));
        }
        let workspaces = self.store.remove_node(name, force).await?;
        if workspaces > 0 && !force {
            return Err(CallError::NodeInUse {
                node: node.name,
                workspaces,
            });
        }
        self.fleet.remove(name);
        self.sessions.close(name);
        self.agents.disconnect(name);
        tracing::info!(node = name, workspaces, force, "node removed");
        Ok(())
    }

    /// Renews a node's lease; false when no node with this boot id is registered, or its lease had ended: then it registers
    /// again, and what was placed elsewhere meanwhile is removed from it.
    pub(crate) async fn heartbeat(&self, heartbeat: HeartbeatRequest) -> bool {
        let HeartbeatRequest {
            node,
            boot_id,
            disk_free_bytes,
            containers,
            problem,
            preparing_attempts: _,
            unconfirmed_attempts: _,
            quarantined,
            trust,
        } = heartbeat;
        let fleet = &self.fleet;
        let heard = fleet.heartbeat(&node, &boot_id, disk_free_bytes, problem, containers, now());
        let Some(heard) = heard else {
            return false;
        };
        fleet.told(&node, quarantined, trust);
        let node = StoredNode {
            name: heard.name,
            platform: heard.platform,
            info: heard.info,
            heartbeat: heard.heartbeat,
            has_left: false,
        };
        // The lease is renewed. The stored time is only shown after a restart, so the call does not fail.
        if let Err(error) = self.store.touch_node(&node).await {
            tracing::error!(node = node.name, %error, "cannot store a heartbeat");
        }
        heard.standing != Standing::Lost
    }

    /// What tells the control plane's database from every other.
    pub(crate) fn identity(&self) -> &str {
        self.store.identity()
    }

    /// Those of a node's attempts that were ended or replaced, so that it has to end them. What is not known here was not.
    pub(crate) async fn ended(&self, node: &str, attempts: Vec<AttemptRef>) -> Vec<AttemptRef> {
        let mut ended = Vec::new();
        for attempt in attempts {
            let has_ended = self.has_ended(node, &attempt).await.unwrap_or_else(|error| {
                tracing::error!(workspace.id = %attempt.workspace, %error, "cannot see whether an attempt is followed");
                false
            });
            if has_ended {
                tracing::info!(
                    workspace.id = %attempt.workspace,
                    workspace.attempt = attempt.number,
                    node,
                    "the node still works on an attempt that has ended, and is told so"
                );
                ended.push(attempt);
            }
        }
        ended
    }

    /// Those of a node's attempts that made a workspace which can be used. The node keeps them even if an older copy of the
    /// database takes them for failed later.
    pub(crate) async fn confirmed(&self, node: &str, attempts: Vec<AttemptRef>) -> Vec<AttemptRef> {
        let mut confirmed = Vec::new();
        for attempt in attempts {
            match self.store.workspace(&attempt.workspace).await {
                Ok(Some(record)) if is_usable(&record, node, &attempt) => confirmed.push(attempt),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(workspace.id = %attempt.workspace, %error, "cannot see whether an attempt made a workspace");
                }
            }
        }
        confirmed
    }

    async fn has_ended(&self, node: &str, attempt: &AttemptRef) -> Result<bool, StoreError> {
        let record = self.store.workspace(&attempt.workspace).await?;
        match record.filter(|record| record.workspace.node == node) {
            Some(record) => {
                let newest = record.workspace.attempt;
                Ok(newest > attempt.number
                    || (newest == attempt.number && record.workspace.settled))
            }
            None => self.store.owes_removal(&attempt.workspace, node).await,
        }
    }

    /// All nodes, sorted by name, with their numbers of workspaces.
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

    /// Why there is no node for a workspace.
    pub(crate) fn none(&self) -> CallError {
        let nodes = self.fleet.all().into_iter();
        let unavailable = nodes.filter(|node| node.standing == Standing::Unavailable);
        unavailable.map(unable).next().unwrap_or(CallError::NoNode)
    }

    /// Fails unless the node is online.
    pub(crate) fn check_online(&self, name: &str) -> Result<(), CallError> {
        let node = self.fleet.known(name)?;
        match node.standing {
            Standing::Online | Standing::Expected => Ok(()),
            Standing::Lost => Err(CallError::NodeLost(node.name)),
            Standing::Left => Err(CallError::NodeLeft(node.name)),
            Standing::Unavailable => Err(unable(node)),
        }
    }
}

fn is_usable(record: &Record, node: &str, attempt: &AttemptRef) -> bool {
    record.workspace.node == node
        && record.attempt() == *attempt
        && matches!(
            record.workspace.state(),
            WorkspaceState::Ready
                | WorkspaceState::Recovery
                | WorkspaceState::Stopping
                | WorkspaceState::Stopped
        )
}

fn unable(node: NodeView) -> CallError {
    CallError::NodeUnavailable {
        node: node.name,
        why: node.info.problem,
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
