//! The state of the control plane, behind narrow traits. The rules of the log are in [`crate::record`]; a store runs them
//! inside its transactions.

mod build_caches;
mod clients;
mod entries;
mod entry;
mod error;
mod granted_secrets;
mod joining;
mod life;
mod lookups;
mod nodes;
mod sqlite;
mod whole;
mod workspaces;

pub use build_caches::{BuildCache, Readable};
pub use clients::StoredClient;
pub use entries::Selection;
pub(crate) use entry::manifest;
pub use entry::{Entry, Place};
pub use error::StoreError;
pub use granted_secrets::StoredSecret;
pub use joining::{Joining, NodeKey, StoredJoinToken};
pub use life::{Ends, Watched};
pub use lookups::{Decided, FetchRate, Lookup};
pub use nodes::StoredNode;
pub use sqlite::{Settings, Sqlite};
pub use whole::Store;
pub use workspaces::{
    Change, Count, HistoryLimits, Load, Once, Page, PageLimit, Placement, RequestId,
};

#[cfg(test)]
mod suite;
