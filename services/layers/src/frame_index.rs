//! The frame index of an image that hearth pushed: where the frames of its layers are, and which files are in them
//! (docs/frame-index.md). It is read from registries, so nothing of it is believed before it was checked.

mod entry;
mod error;
mod merge;
mod read;
mod size;
mod text;

use hearth_domain::Digest;
use serde::{Deserialize, Serialize};

pub use entry::{Entry, Type};
pub use error::FrameIndexError;
pub use merge::{Merge, Rows};
pub use read::FrameIndex;

/// Bytes of a layer's archive in a frame; the last one has the rest.
pub const FRAME: usize = 256 * 1024;
/// Of the format.
const VERSION: u32 = 1;
/// Images have up to 127 layers where an engine stacks them.
const MAX_LAYERS: usize = 1000;
/// The most frames: those of archives of 64 GiB. A larger image has no index.
const MAX_FRAMES: usize = 256 * 1024;
/// Bytes of the first line with so many layers and frames: a frame has up to 87, and a layer less than 512 besides.
const MAX_HEAD: u64 = (MAX_FRAMES * 88 + MAX_LAYERS * 512) as u64;

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

impl Head {
    /// What is wrong with it.
    fn fault(&self) -> Option<String> {
        if self.version != VERSION || self.frame_bytes != FRAME as u64 {
            return Some(format!(
                "has version {} and frames of {} bytes; {VERSION} and {FRAME} are known",
                self.version, self.frame_bytes
            ));
        }
        if self.layers.len() > MAX_LAYERS {
            return Some(format!("has more than {MAX_LAYERS} layers"));
        }
        let frames = self.layers.iter().map(|layer| layer.frames.len());
        if frames.sum::<usize>() > MAX_FRAMES {
            return Some(format!("has more than {MAX_FRAMES} frames"));
        }
        self.layers.iter().find_map(|layer| {
            // An archive of nothing is a frame of nothing.
            let frames = layer.archive_bytes.div_ceil(FRAME as u64).max(1);
            let bytes: u64 = layer.frames.iter().map(|frame| u64::from(frame.0)).sum();
            let is_true = frames == layer.frames.len() as u64 && bytes == layer.bytes;
            (!is_true).then(|| format!("says what cannot be of the layer {}", layer.digest))
        })
    }
}

#[cfg(test)]
#[path = "frame_index/tests.rs"]
mod tests;
