//! How much an index may say of members. It is the same for who writes one and who reads it: what is written can be read, and
//! what is read is no more than was ever written.

use super::{Entry, FrameIndexError};

/// Bytes of an entry's line: paths, and extended attributes in base64.
pub const MAX_LINE: u64 = 256 * 1024;
/// The most members. An image with more has no index.
const MAX_ENTRIES: u64 = 500_000;
/// Bytes of all entries' lines, before they are compressed: half a KiB for each of as many as there can be.
const MAX_TEXT: u64 = 256 * 1024 * 1024;
/// Bytes of all paths together: whoever merges layers has them in memory, some of them more than once.
const MAX_PATHS: u64 = 32 * 1024 * 1024;

/// What the entries so far take.
#[derive(Debug, Default)]
pub struct Size {
    entries: u64,
    text: u64,
    paths: u64,
}

impl Size {
    /// Another entry, whose line has so many bytes.
    pub fn add(&mut self, entry: &Entry, line: usize) -> Result<(), FrameIndexError> {
        let line = line as u64;
        self.entries += 1;
        self.text += line;
        self.paths += entry.path.0.len() as u64;
        let too_much = |what: &str| Err(FrameIndexError::Wrong(format!("has {what}")));
        if line > MAX_LINE {
            return too_much(&format!("a line of more than {MAX_LINE} bytes"));
        }
        if self.entries > MAX_ENTRIES {
            return too_much(&format!("more than {MAX_ENTRIES} entries"));
        }
        if self.text > MAX_TEXT {
            return too_much(&format!("entries of more than {MAX_TEXT} bytes"));
        }
        if self.paths > MAX_PATHS {
            return too_much(&format!("paths of more than {MAX_PATHS} bytes"));
        }
        Ok(())
    }
}
