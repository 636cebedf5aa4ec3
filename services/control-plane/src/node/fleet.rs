use std::{collections::BTreeMap, time::Duration};

use hearth_api::v1::NodeInfo;
use hearth_domain::Platform;
use parking_lot::Mutex;
use prost_types::Timestamp;
use tokio::{sync::watch, time::Instant};

use crate::store::StoredNode;

/// The nodes, and who of them is alive. The store remembers them over a restart; leases live here only, by a clock
/// that nobody can set back.
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
}

/// A node as it is now.
#[derive(Clone, Debug)]
pub(crate) struct NodeView {
    pub(crate) name: String,
    pub(crate) platform: Platform,
    pub(crate) info: NodeInfo,
    pub(crate) heartbeat: Timestamp,
    pub(crate) standing: Standing,
}

/// Whether a node can take work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Online,
    Lost,
}

/// How a node stopped being the one that took the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Its lease ended.
    Lost,
    /// Its agent registered with another boot id, which is this one.
    Restarted(String),
}

impl Fleet {
    /// The fleet as it was before a restart. Nobody could send a heartbeat to a control plane that did not run, so
    /// every node gets a full lease from now on.
    pub(crate) fn new(lease: Duration, nodes: Vec<StoredNode>) -> Self {
        let heard = Instant::now();
        Self {
            lease,
            members: Mutex::new(
                nodes
                    .into_iter()
                    .map(|node| (node.name.clone(), Member::of(node, heard)))
                    .collect(),
            ),
            registered: watch::Sender::default(),
        }
    }

    /// Enters a node, or what is new about it.
    pub(crate) fn register(&self, node: StoredNode) {
        let name = node.name.clone();
        let member = Member::of(node, Instant::now());
        self.members.lock().insert(name, member);
        self.registered.send_modify(|times| *times += 1);
    }

    /// Notes a heartbeat; `None` when no node with this boot id is known.
    pub(crate) fn heartbeat(
        &self,
        name: &str,
        boot_id: &str,
        disk_free_bytes: u64,
        now: Timestamp,
    ) -> Option<NodeView> {
        let mut members = self.members.lock();
        let member = members
            .get_mut(name)
            .filter(|member| member.info.boot_id == boot_id)?;
        member.heard = Instant::now();
        member.heartbeat = now;
        member.info.disk_free_bytes = disk_free_bytes;
        Some(self.view(name, member))
    }

    pub(crate) fn get(&self, name: &str) -> Option<NodeView> {
        self.members
            .lock()
            .get(name)
            .map(|member| self.view(name, member))
    }

    /// All nodes, by name.
    pub(crate) fn all(&self) -> Vec<NodeView> {
        self.members
            .lock()
            .iter()
            .map(|(name, member)| self.view(name, member))
            .collect()
    }

    /// Ends when the node is not the one any more that runs the agent `boot_id` (empty: any agent).
    pub(crate) async fn gone(&self, name: &str, boot_id: &str) -> Gone {
        let mut registered = self.registered.subscribe();
        loop {
            registered.borrow_and_update();
            let lease_end = {
                let members = self.members.lock();
                let Some(member) = members.get(name) else {
                    return Gone::Lost;
                };
                if !boot_id.is_empty() && member.info.boot_id != boot_id {
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
            standing: if member.heard.elapsed() < self.lease {
                Standing::Online
            } else {
                Standing::Lost
            },
        }
    }
}

impl Member {
    fn of(node: StoredNode, heard: Instant) -> Self {
        Self {
            platform: node.platform,
            info: node.info,
            heard,
            heartbeat: node.heartbeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    const LEASE: Duration = Duration::from_secs(30);

    fn node(name: &str, boot_id: &str) -> StoredNode {
        StoredNode {
            name: name.into(),
            platform: "linux/amd64".parse().expect("a platform"),
            info: NodeInfo {
                boot_id: boot_id.into(),
                ..NodeInfo::default()
            },
            heartbeat: now(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_lost_when_its_lease_ends_and_a_heartbeat_brings_it_back() {
        let fleet = Fleet::new(LEASE, Vec::new());
        fleet.register(node("n1", "a"));
        tokio::time::advance(LEASE - Duration::from_secs(1)).await;
        assert_eq!(fleet.get("n1").expect("node").standing, Standing::Online);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(fleet.get("n1").expect("node").standing, Standing::Lost);
        assert!(fleet.heartbeat("n1", "a", 7, now()).is_some());
        let node = fleet.get("n1").expect("node");
        assert_eq!(
            (node.standing, node.info.disk_free_bytes),
            (Standing::Online, 7)
        );
    }

    #[tokio::test]
    async fn a_heartbeat_with_another_boot_id_is_not_known() {
        let fleet = Fleet::new(LEASE, Vec::new());
        assert!(fleet.heartbeat("n1", "a", 0, now()).is_none());
        fleet.register(node("n1", "a"));
        assert!(fleet.heartbeat("n1", "b", 0, now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_hold_a_lease_and_another_boot_id_ends_it() {
        let fleet = Fleet::new(LEASE, Vec::new());
        fleet.register(node("n1", "a"));
        let gone = fleet.gone("n1", "a");
        tokio::pin!(gone);
        for _ in 0..3 {
            let almost = tokio::time::timeout(LEASE * 2 / 3, &mut gone).await;
            assert!(almost.is_err(), "the lease was renewed in time");
            fleet.heartbeat("n1", "a", 0, now());
        }
        fleet.register(node("n1", "b"));
        assert_eq!(gone.await, Gone::Restarted("b".into()));
        assert_eq!(fleet.gone("n1", "b").await, Gone::Lost);
        assert_eq!(fleet.gone("n2", "").await, Gone::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_gives_every_node_a_full_lease() {
        let mut known = node("n1", "a");
        known.heartbeat = crate::clock::from_millis(0);
        let fleet = Fleet::new(LEASE, vec![known]);
        assert_eq!(fleet.get("n1").expect("node").standing, Standing::Online);
    }
}
