//! Reads an index, and refuses one that cannot be true.

use std::io::{self, BufRead, BufReader, Read as _};

use super::{
    Entry, FrameIndexError, Head, LayerFrames, MAX_HEAD,
    size::{MAX_LINE, Size},
};

/// The largest window of zstd, as a power of two.
const MAX_WINDOW: u32 = 23;

/// An index that is read. Its blob has to be the one that the image names by its digest; what it says of the image's bytes
/// is true if they have the digests that it says.
pub struct FrameIndex<R> {
    layers: Vec<LayerFrames>,
    lines: R,
}

impl<'a> FrameIndex<BufReader<zstd::Decoder<'static, BufReader<&'a [u8]>>>> {
    /// Reads the first line of an index.
    pub fn open(blob: &'a [u8]) -> Result<Self, FrameIndexError> {
        let mut lines = zstd::Decoder::new(blob)?;
        lines.window_log_max(MAX_WINDOW)?;
        let mut lines = BufReader::new(lines);
        let head = line(&mut lines, MAX_HEAD)?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let head: Head = serde_json::from_slice(&head).map_err(io::Error::from)?;
        match head.fault() {
            Some(fault) => Err(FrameIndexError::Wrong(fault)),
            None => Ok(Self {
                layers: head.layers,
                lines,
            }),
        }
    }
}

impl<R: BufRead> FrameIndex<R> {
    /// The layers, the lowest first.
    pub fn layers(&self) -> &[LayerFrames] {
        &self.layers
    }

    /// Reads all entries: those of the uppermost layer first, and within a layer in the order of its archive.
    pub fn entries(
        mut self,
        mut take: impl FnMut(Entry) -> Result<(), FrameIndexError>,
    ) -> Result<Vec<LayerFrames>, FrameIndexError> {
        let mut size = Size::default();
        while let Some(line) = line(&mut self.lines, MAX_LINE)? {
            let entry: Entry = serde_json::from_slice(&line).map_err(io::Error::from)?;
            // With its end.
            size.add(&entry, line.len() + 1)?;
            entry.check(&self.layers)?;
            take(entry)?;
        }
        Ok(self.layers)
    }
}

/// A line, without its end. `None` after the last one, which has an end, too.
fn line(from: &mut impl BufRead, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(max).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    match line.pop() {
        Some(b'\n') => Ok(Some(line)),
        _ if line.len() as u64 + 1 == max => Err(io::Error::other("a line is too long")),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
