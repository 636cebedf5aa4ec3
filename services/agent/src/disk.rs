//! Room on the node's disk: which images are hearth's own, which of them go when it gets scarce, and when.
//!
//! An image of the cache that an attempt used gets one more name on its node, made of its own id ([`choice`]).
//! That tells hearth's images from all others, and lives as long as the image. When each was last used is kept in a file
//! of the state folder ([`recency`]).

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
