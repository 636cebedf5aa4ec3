use async_trait::async_trait;
use prost_types::Timestamp;

use super::error::StoreError;

/// A token with which nodes join. What proves it is known by its digest alone.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJoinToken {
    /// Names it.
    pub id: String,
    /// When it expires.
    pub expires: Timestamp,
    /// How many nodes may still join; `None`: any number.
    pub uses_left: Option<u32>,
    /// Pattern of the nodes' names; empty: any.
    pub nodes: String,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
    /// When a node joined with it last.
    pub used: Option<Timestamp>,
}

/// A node that joins: its name, and the digest of its public key.
#[derive(Clone, Copy, Debug)]
pub struct Joining<'a> {
    /// The name.
    pub node: &'a str,
    /// The digest.
    pub key: &'a str,
}

/// Whose a node's name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKey {
    /// Of the node with the key of this digest.
    Of(String),
    /// The node was removed, and no other has joined by its name since.
    Removed,
}

/// Who may join, and whose a node's name is. Every method is one transaction.
#[async_trait]
pub trait JoiningStore: Send + Sync {
    /// Adds a token with the digest of its secret, and forgets those that expired before `kept_from`.
    async fn put_join_token(
        &self,
        token: &StoredJoinToken,
        digest: &str,
        kept_from: Timestamp,
    ) -> Result<(), StoreError>;

    /// All tokens, newest first.
    async fn join_tokens(&self) -> Result<Vec<StoredJoinToken>, StoreError>;

    /// The token whose secret has this digest.
    async fn join_token(&self, digest: &str) -> Result<Option<StoredJoinToken>, StoreError>;

    /// Deletes a token; false when there is none.
    async fn delete_join_token(&self, id: &str) -> Result<bool, StoreError>;

    /// Uses a token for a node, and gives the node its name. False when the token has no use left, or is gone. The same node
    /// with the same key uses it once, however often it asks.
    async fn join(
        &self,
        token: &str,
        node: Joining<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Gives a node its name.
    async fn put_node_key(&self, node: Joining<'_>) -> Result<(), StoreError>;

    /// Whose a name is; `None`: it was never given. [`super::nodes::NodeStore::remove_node`] takes it away.
    async fn node_key(&self, node: &str) -> Result<Option<NodeKey>, StoreError>;
}
