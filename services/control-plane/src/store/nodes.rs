use async_trait::async_trait;
use hearth_api::v1::NodeInfo;
use hearth_domain::Platform;
use prost_types::Timestamp;

use super::error::StoreError;

/// A node as of its newest registration or heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNode {
    /// Its name.
    pub name: String,
    /// The platform of its containers.
    pub platform: Platform,
    /// As registered, with the platform.
    pub info: NodeInfo,
    /// Time of the registration or heartbeat.
    pub heartbeat: Timestamp,
    /// Whether its agent has said since that it ends.
    pub has_left: bool,
}

/// Nodes and their sessions. Every method is one transaction.
#[async_trait]
pub trait NodeStore: Send + Sync {
    /// Adds or replaces a node.
    async fn put_node(&self, node: &StoredNode) -> Result<(), StoreError>;

    /// Stores what a node said in a heartbeat, unless it was removed meanwhile.
    async fn touch_node(&self, node: &StoredNode) -> Result<(), StoreError>;

    /// Notes that a node has left.
    async fn node_left(&self, name: &str) -> Result<(), StoreError>;

    /// Deletes a node with its session; without `force` only if it has no workspaces. Returns how many it has.
    async fn remove_node(&self, name: &str, force: bool) -> Result<u32, StoreError>;

    /// All nodes, sorted by name. What cannot be read is left out, and logged.
    async fn nodes(&self) -> Result<Vec<StoredNode>, StoreError>;

    /// Replaces the digest of a node's session token.
    async fn put_session(&self, node: &str, digest: &str) -> Result<(), StoreError>;

    /// Names of nodes with the digests of their session tokens.
    async fn sessions(&self) -> Result<Vec<(String, String)>, StoreError>;
}
