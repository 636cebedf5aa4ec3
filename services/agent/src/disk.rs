//! Free disk: which images on the node are hearth's own, and which of them are removed when the disk gets full.
//!
//! An image of the cache that an attempt uses gets one more name on its node, which is made of the image's id
//! (`choice.rs`). It tells hearth's images from all others. When each of them was last used is kept in a file of
//! the state folder (`recency.rs`).

mod choice;
mod in_use;
mod keeper;
mod metrics;
mod recency;
mod watermarks;

pub use choice::MARK;
pub use in_use::{ImageUse, ImagesInUse};
pub use keeper::DiskKeeper;
pub use metrics::DiskMetrics;
pub use watermarks::{Space, Watermarks};
