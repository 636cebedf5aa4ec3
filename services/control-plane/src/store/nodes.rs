use async_trait::async_trait;
use hearth_api::v1::NodeInfo;
use hearth_domain::Platform;
use prost_types::Timestamp;

use super::error::StoreError;

/// A node as it was last heard of.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNode {
    /// Its name.
    pub name: String,
    /// What its containers run on.
    pub platform: Platform,
    /// What its agent says of itself, the platform included.
    pub info: NodeInfo,
    /// When its agent was last heard of.
    pub heartbeat: Timestamp,
}

/// What the control plane remembers of nodes. Every method is one transaction.
#[async_trait]
pub trait NodeStore: Send + Sync {
    /// Enters a node, or what is new about it.
    async fn put_node(&self, node: &StoredNode) -> Result<(), StoreError>;

    /// All nodes, by name.
    async fn nodes(&self) -> Result<Vec<StoredNode>, StoreError>;

    /// Keeps the digest of a node's newest session token, in place of the one before.
    async fn put_session(&self, node: &str, digest: &str) -> Result<(), StoreError>;

    /// Nodes and the digests of their newest session tokens.
    async fn sessions(&self) -> Result<Vec<(String, String)>, StoreError>;
}
