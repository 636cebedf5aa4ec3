use async_trait::async_trait;
use secrecy::SecretString;

use super::{
    build_caches::BuildCacheStore, clients::ClientStore, entries::EntryStore, error::StoreError,
    granted_secrets::GrantedSecretStore, joining::JoiningStore, life::LifeStore,
    lookups::LookupStore, nodes::NodeStore, workspaces::WorkspaceStore,
};

/// The whole state of the control plane.
#[async_trait]
pub trait Store:
    WorkspaceStore
    + LifeStore
    + NodeStore
    + EntryStore
    + LookupStore
    + BuildCacheStore
    + ClientStore
    + JoiningStore
    + GrantedSecretStore
{
    /// The secret of this name: `new`, unless there is one already.
    async fn secret(&self, name: &str, new: &SecretString) -> Result<SecretString, StoreError>;

    /// What tells this store from every other: made once, with it.
    fn identity(&self) -> &str;

    /// Whether there is room for the events of more work.
    fn has_room(&self) -> Result<(), StoreError>;

    /// Whether it can be written, and there is room.
    async fn check(&self) -> Result<(), StoreError>;

    /// Flushes and closes the store. It must not be used afterwards.
    async fn close(&self);
}
