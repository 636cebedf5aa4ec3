use async_trait::async_trait;
use hearth_domain::{RepositoryPattern, SecretName};
use prost_types::Timestamp;

use super::error::StoreError;

/// A secret that workspaces of some repositories get.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSecret {
    /// Its name.
    pub name: SecretName,
    /// Whose workspaces get it.
    pub repositories: RepositoryPattern,
    /// Whether those at all refs do.
    pub all_refs: bool,
    /// Which key it is encrypted with.
    pub key_id: String,
    /// The value, encrypted.
    pub sealed: Vec<u8>,
    /// When it was set first.
    pub created: Timestamp,
    /// When it was set last.
    pub updated: Timestamp,
}

/// Secrets that were granted to repositories. Every method is one transaction.
#[async_trait]
pub trait GrantedSecretStore: Send + Sync {
    /// Adds a secret, or replaces that of the same name and pattern; one that is replaced keeps the time at which it was made.
    /// `None`: there are `most` of them already.
    async fn set_secret(
        &self,
        secret: &StoredSecret,
        most: u32,
    ) -> Result<Option<StoredSecret>, StoreError>;

    /// All secrets with their numbers, newest first. What cannot be read is left out, and logged.
    async fn secrets(&self) -> Result<Vec<(u64, StoredSecret)>, StoreError>;

    /// Encrypts a secret anew. Nothing happens if it was set again since it was read.
    async fn reseal_secret(
        &self,
        before: &StoredSecret,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<(), StoreError>;

    /// Deletes a secret. False: there is none of this name and pattern.
    async fn delete_secret(
        &self,
        name: &SecretName,
        repositories: &RepositoryPattern,
    ) -> Result<bool, StoreError>;
}
