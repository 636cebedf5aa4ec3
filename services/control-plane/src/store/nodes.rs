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
}

/// Nodes and their sessions. Every method is one transaction.
#[async_trait]
pub trait NodeStore: Send + Sync {
    /// Adds or replaces a node.
    async fn put_node(&self, node: &StoredNode) -> Result<(), StoreError>;

    /// All nodes, sorted by name.
    async fn nodes(&self) -> Result<Vec<StoredNode>, StoreError>;

    /// Replaces the digest of a node's session token.
    async fn put_session(&self, node: &str, digest: &str) -> Result<(), StoreError>;

    /// Names of nodes with the digests of their session tokens.
    async fn sessions(&self) -> Result<Vec<(String, String)>, StoreError>;
}
