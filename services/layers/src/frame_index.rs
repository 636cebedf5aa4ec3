//! The frame index of an image that hearth pushed: where the frames of its layers are, and which files are in them
//! (docs/frame-index.md). It is read from registries, so nothing of it is believed before it was checked.

mod entry;
mod merge;
mod read;
mod text;

use hearth_domain::Digest;
use serde::{Deserialize, Serialize};

pub use entry::{Entry, Type};
pub use merge::{Merge, Rows};
pub use read::{FrameIndex, FrameIndexError};

/// Bytes of a layer's archive in a frame; the last one has the rest.
pub const FRAME: usize = 256 * 1024;
/// Of the format.
const VERSION: u32 = 1;
/// The most members that an index has. An image with more has no index.
const MAX_ENTRIES: u64 = 500_000;

/// The first line: the layers, the lowest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    frame_bytes: u64,
    layers: Vec<LayerFrames>,
}

/// A layer that is made of frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFrames {
    /// Digest of its blob.
    pub digest: Digest,
    /// Bytes of its blob.
    pub bytes: u64,
    /// Digest of its archive.
    pub diff_id: Digest,
    /// Bytes of its archive.
    pub archive_bytes: u64,
    /// In order.
    pub frames: Vec<Frame>,
}

/// A frame: its compressed bytes, and the digest of the part of the archive that is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame(pub u32, pub Digest);

#[cfg(test)]
#[path = "frame_index/tests.rs"]
mod tests;
