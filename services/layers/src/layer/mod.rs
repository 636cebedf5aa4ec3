//! A layer: decoded, verified and written into a folder, each in a thread of its own.

mod archive;
mod blocks;
mod data;
mod decode;
mod extended;
mod metadata;
mod tree;
mod unpack;

pub use archive::{Archive, Kind, Member};
pub use decode::{Ongoing, Unpack, Written, archive, start};
pub use tree::{Implied, place};
pub use unpack::{LayerError, complete};
