use std::{collections::BTreeMap, time::Duration};

use hearth_api::v1::{NodeContainers, NodeInfo, NodeTrust, QuarantinedWorkspace};
use hearth_domain::{Platform, WorkspaceId};
use parking_lot::Mutex;
use prost_types::Timestamp;
use tokio::{sync::watch, time::Instant};

use super::placement::least_loaded;
use crate::{
    error::CallError,
    store::{Load, StoredNode},
};

/// The nodes and their leases. The store keeps the nodes over a restart; leases are only in memory, by a monotonic clock.
#[derive(Debug)]
pub(crate) struct Fleet {
    lease: Duration,
    members: Mutex<BTreeMap<String, Member>>,
    registered: watch::Sender<u64>,
}

#[derive(Debug)]
struct Member {
    platform: Platform,
    info: NodeInfo,
    heard: Instant,
    heartbeat: Timestamp,
    has_left: bool,
    /// Whether it has said anything since the control plane started.
    has_spoken: bool,
    /// What runs there, if its agent has said so since it registered.
    containers: Option<NodeContainers>,
    /// Workspaces in quarantine there.
    quarantined: Vec<QuarantinedWorkspace>,
    /// Whose certificate it has and whom it trusts, if its agent has said so since it registered.
    trust: Option<NodeTrust>,
    /// Workspaces whose attempt was given to the node, and how many lists of containers still come before what they say
    /// about them counts.
    young: BTreeMap<WorkspaceId, u8>,
}

/// A list may be on its way when an attempt is given to its node. The one after it knows of the attempt.
const LISTS_TOO_OLD: u8 = 1;

/// Why a workspace that was ready cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its node is not known any more.
    NodeRemoved,
    /// Its node is lost.
    NodeLost,
    /// Its node has left.
    NodeLeft,
    /// Its node says that it cannot work.
    NodeUnavailable,
    /// Its container does not run.
    ContainerGone,
}

/// A node as it is now.
#[derive(Clone, Debug)]
pub(crate) struct NodeView {
    pub(crate) name: String,
    pub(crate) platform: Platform,
    pub(crate) info: NodeInfo,
    pub(crate) heartbeat: Timestamp,
    pub(crate) standing: Standing,
    pub(crate) quarantined: Vec<QuarantinedWorkspace>,
    pub(crate) trust: Option<NodeTrust>,
}

/// Whether a node can take work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its agent sends heartbeats.
    Online,
    /// It sends none any more.
    Lost,
    /// Its agent said that it ends.
    Left,
    /// Its agent sends heartbeats, and says that it cannot work.
    Unavailable,
    /// The control plane was started, and has not heard of it since.
    Expected,
}

impl Standing {
    /// Whether nothing says that it is gone.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Self::Online | Self::Unavailable | Self::Expected => true,
            Self::Lost | Self::Left => false,
        }
    }
}

/// Why a node no longer does the work that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Its lease ended.
    Lost,
    /// An agent registered with this other boot id.
    Restarted(String),
}

impl Fleet {
    /// The fleet as stored before a restart. No agent could send heartbeats meanwhile, so every node gets a full lease.
    pub(crate) fn new(lease: Duration, nodes: Vec<StoredNode>) -> Self {
        let heard = Instant::now();
        Self {
            lease,
            members: Mutex::new(
                nodes
                    .into_iter()
                    .map(|node| (node.name.clone(), Member::of(node, heard, false)))
                    .collect(),
            ),
            registered: watch::Sender::default(),
        }
    }

    /// Adds a node, or replaces its registration.
    pub(crate) fn register(&self, node: StoredNode) {
        let name = node.name.clone();
        let member = Member::of(node, Instant::now(), true);
        self.members.lock().insert(name, member);
        self.registered.send_modify(|times| *times += 1);
    }

    /// Notes that a node has left; false when no node with this boot id is registered.
    pub(crate) fn leave(&self, name: &str, boot_id: &str) -> bool {
        let mut members = self.members.lock();
        let member = members.get_mut(name);
        let Some(member) = member.filter(|member| member.info.boot_id == boot_id) else {
            return false;
        };
        member.has_left = true;
        true
    }

    /// Forgets a node.
    pub(crate) fn remove(&self, name: &str) {
        self.members.lock().remove(name);
        self.registered.send_modify(|times| *times += 1);
    }

    /// Renews a node's lease; `None` when no node with this boot id is registered, or it has left. The node is as it was
    /// before.
    pub(crate) fn heartbeat(
        &self,
        name: &str,
        boot_id: &str,
        disk_free_bytes: u64,
        problem: String,
        containers: Option<NodeContainers>,
        now: Timestamp,
    ) -> Option<NodeView> {
        let mut members = self.members.lock();
        let member = members
            .get_mut(name)
            .filter(|member| member.info.boot_id == boot_id && !member.has_left)?;
        let standing = self.standing(member);
        member.heard = Instant::now();
        member.heartbeat = now;
        member.info.disk_free_bytes = disk_free_bytes;
        member.info.problem = problem;
        member.has_spoken = true;
        if containers.is_some() {
            member.containers = containers;
            member.young.retain(|_, lists| {
                let is_young = *lists > 0;
                *lists = lists.saturating_sub(1);
                is_young
            });
        }
        Some(NodeView {
            standing,
            ..self.view(name, member)
        })
    }

    /// Notes what else a node has said: which workspaces are in quarantine there, and whom it trusts.
    pub(crate) fn told(
        &self,
        name: &str,
        quarantined: Vec<QuarantinedWorkspace>,
        trust: Option<NodeTrust>,
    ) {
        if let Some(member) = self.members.lock().get_mut(name) {
            member.quarantined = quarantined;
            member.trust = trust;
        }
    }

    /// Notes that one of them was removed, before the node says so.
    pub(crate) fn forget_quarantined(&self, name: &str, workspace: &WorkspaceId) {
        if let Some(member) = self.members.lock().get_mut(name) {
            let others = |one: &QuarantinedWorkspace| one.workspace_id != workspace.as_str();
            member.quarantined.retain(others);
        }
    }

    /// Notes that a node is about to be given an attempt of a workspace, or has accepted it: what was reported of its
    /// container before counts no more.
    pub(crate) fn prepares(&self, name: &str, workspace: &WorkspaceId) {
        let mut members = self.members.lock();
        if let Some(member) = members.get_mut(name) {
            member.young.insert(workspace.clone(), LISTS_TOO_OLD);
        }
    }

    /// Why a workspace on this node cannot be used that was ready in this container; `None`: nothing speaks against it.
    pub(crate) fn unusable(
        &self,
        name: &str,
        workspace: &str,
        container: &str,
    ) -> Option<Unusable> {
        let members = self.members.lock();
        let Some(member) = members.get(name) else {
            return Some(Unusable::NodeRemoved);
        };
        match self.standing(member) {
            Standing::Lost => return Some(Unusable::NodeLost),
            Standing::Left => return Some(Unusable::NodeLeft),
            Standing::Unavailable => return Some(Unusable::NodeUnavailable),
            Standing::Online | Standing::Expected => {}
        }
        let containers = member.containers.as_ref()?;
        let has = |ids: &[String], id: &str| ids.iter().any(|known| known == id);
        let usable = container.is_empty()
            || has(&containers.running_container_ids, container)
            || has(&containers.preparing_workspace_ids, workspace)
            || member.young.keys().any(|id| id.as_str() == workspace);
        (!usable).then_some(Unusable::ContainerGone)
    }

    /// Whether the node says that this container of a workspace runs, and that is not too old to count.
    pub(crate) fn runs(&self, name: &str, workspace: &str, container: &str) -> bool {
        let members = self.members.lock();
        members.get(name).is_some_and(|member| {
            let containers = member.containers.as_ref();
            let running = containers.map_or(&[][..], |known| &known.running_container_ids);
            self.standing(member) == Standing::Online
                && running.iter().any(|id| id == container)
                && !member.young.keys().any(|id| id.as_str() == workspace)
        })
    }

    /// The online node with the least to do that is none of `except`. After a restart those come first that have spoken
    /// since: the others may be gone.
    pub(crate) fn place(
        &self,
        workspace: &WorkspaceId,
        loads: &[Load],
        except: &[String],
    ) -> Option<String> {
        let members = self.members.lock();
        let standing = |standing: Standing| {
            let those = members.iter().filter(move |(name, member)| {
                self.standing(member) == standing && !except.contains(name)
            });
            those.map(|(name, _)| name.clone())
        };
        let place = |among| least_loaded(standing(among), loads, workspace);
        place(Standing::Online).or_else(|| place(Standing::Expected))
    }

    pub(crate) fn get(&self, name: &str) -> Option<NodeView> {
        self.members
            .lock()
            .get(name)
            .map(|member| self.view(name, member))
    }

    /// A node that has to be there.
    pub(crate) fn known(&self, name: &str) -> Result<NodeView, CallError> {
        let node = self.get(name);
        node.ok_or_else(|| CallError::NodeUnknown(name.to_owned()))
    }

    /// All nodes, sorted by name.
    pub(crate) fn all(&self) -> Vec<NodeView> {
        self.members
            .lock()
            .iter()
            .map(|(name, member)| self.view(name, member))
            .collect()
    }

    /// Ends when the node is lost, or an agent with another boot id than these registers it.
    pub(crate) async fn gone(&self, name: &str, boot_ids: &[&str]) -> Gone {
        let mut registered = self.registered.subscribe();
        loop {
            registered.borrow_and_update();
            let lease_end = {
                let members = self.members.lock();
                let Some(member) = members.get(name) else {
                    return Gone::Lost;
                };
                if !boot_ids.contains(&&*member.info.boot_id) {
                    return Gone::Restarted(member.info.boot_id.clone());
                }
                member.heard + self.lease
            };
            if lease_end <= Instant::now() {
                return Gone::Lost;
            }
            tokio::select! {
                () = tokio::time::sleep_until(lease_end) => {}
                _ = registered.changed() => {}
            }
        }
    }

    fn view(&self, name: &str, member: &Member) -> NodeView {
        NodeView {
            name: name.to_owned(),
            platform: member.platform.clone(),
            info: member.info.clone(),
            heartbeat: member.heartbeat,
            standing: self.standing(member),
            quarantined: member.quarantined.clone(),
            trust: member.trust.clone(),
        }
    }

    fn standing(&self, member: &Member) -> Standing {
        if member.has_left {
            Standing::Left
        } else if member.heard.elapsed() >= self.lease {
            Standing::Lost
        } else if !member.has_spoken {
            Standing::Expected
        } else if member.info.problem.is_empty() {
            Standing::Online
        } else {
            Standing::Unavailable
        }
    }
}

impl Member {
    fn of(node: StoredNode, heard: Instant, has_spoken: bool) -> Self {
        Self {
            platform: node.platform,
            info: node.info,
            heard,
            heartbeat: node.heartbeat,
            has_left: node.has_left,
            has_spoken,
            containers: None,
            quarantined: Vec::new(),
            trust: None,
            young: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
