use async_trait::async_trait;

use super::{
    entries::EntryStore, lookups::LookupStore, nodes::NodeStore, workspaces::WorkspaceStore,
};

/// The whole state of the control plane.
#[async_trait]
pub trait Store: WorkspaceStore + NodeStore + EntryStore + LookupStore {
    /// Flushes and closes the store. It must not be used afterwards.
    async fn close(&self);
}
