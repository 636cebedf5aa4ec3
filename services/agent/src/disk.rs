//! Free space on the node's disk: when it gets low, images of the cache are removed, then BuildKit's cache.
//!
//! hearth knows its own images by one more name that it gives to each image of the cache an attempt uses, made of the
//! image's id (`choice.rs`). When each was last used is kept in a file of the state folder (`recency.rs`).

mod choice;
mod in_use;
mod keeper;
mod marks;
mod metrics;
mod recency;

pub use in_use::{ImageUse, ImagesInUse};
pub use keeper::DiskKeeper;
pub use marks::{Marks, Space};
pub use metrics::DiskMetrics;
