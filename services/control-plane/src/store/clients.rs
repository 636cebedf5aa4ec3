use async_trait::async_trait;
use hearth_domain::{Name, RepositoryPatterns, Scopes};
use prost_types::Timestamp;

use super::error::StoreError;

/// A client, as long as it is not revoked.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredClient {
    /// Its name.
    pub name: Name,
    /// What it may do.
    pub scopes: Scopes,
    /// With which repositories.
    pub repositories: RepositoryPatterns,
    /// SHA-256 of its token, in hex.
    pub digest: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; `None`: not by itself.
    pub expires: Option<Timestamp>,
    /// When it called last.
    pub last_used: Option<Timestamp>,
}

/// Clients. Every method is one transaction.
#[async_trait]
pub trait ClientStore: Send + Sync {
    /// Adds a client and returns its number. `None`: there is or was one of its name.
    async fn add_client(&self, client: &StoredClient) -> Result<Option<u64>, StoreError>;

    /// All clients with their numbers, oldest first, without those that were revoked. What cannot be read is left out, and
    /// logged: nobody is let in by it.
    async fn clients(&self) -> Result<Vec<(u64, StoredClient)>, StoreError>;

    /// Notes when a client called last.
    async fn client_used(&self, name: &Name, at: Timestamp) -> Result<(), StoreError>;

    /// Revokes a client. False: there is none of this name.
    async fn revoke_client(&self, name: &Name, now: Timestamp) -> Result<bool, StoreError>;
}
