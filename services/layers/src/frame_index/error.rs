use std::io;

/// An index that cannot be used, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FrameIndexError {
    /// It is not text in zstd, ends in the middle, or has no room.
    #[error("the frame index cannot be read or written: {0}")]
    Machine(#[from] io::Error),
    /// It says what cannot be, or more than may be.
    #[error("the frame index {0}")]
    Wrong(String),
}
