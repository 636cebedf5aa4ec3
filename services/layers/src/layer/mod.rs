//! A layer: decoded, verified and written into a folder, each in a thread of its own.

mod archive;
mod blocks;
mod data;
mod decode;
mod decoded;
mod decoder;
mod extended;
mod frames;
pub mod fuzzing;
mod memory;
mod metadata;
mod pieces;
mod tree;
mod unpack;

pub use archive::{Archive, Kind, Member};
pub use decode::{Ongoing, Unpack, start};
pub use decoder::archive;
pub use tree::{Implied, place};
pub use unpack::{LayerError, complete};
