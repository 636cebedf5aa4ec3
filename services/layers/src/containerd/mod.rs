//! The containerd that an engine keeps its images in.

mod api;
mod client;
mod content;
mod lease;
mod snapshots;

pub use client::{Containerd, ContainerdError, Lease};
pub use snapshots::Upper;
