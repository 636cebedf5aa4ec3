use async_trait::async_trait;

use super::{
    entries::EntryStore, lookups::LookupStore, nodes::NodeStore, workspaces::WorkspaceStore,
};

/// All that the control plane remembers.
#[async_trait]
pub trait Store: WorkspaceStore + NodeStore + EntryStore + LookupStore {
    /// Puts everything into its place on disk. Nothing may be asked of the store afterwards.
    async fn close(&self);
}
