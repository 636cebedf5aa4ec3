//! Reads an index, and refuses one that cannot be true.

use std::io::{self, BufRead, BufReader, Read as _};

use super::{Entry, FRAME, Head, LayerFrames, MAX_ENTRIES, VERSION};

/// Bytes of the first line: an image of a terabyte needs as many.
const MAX_HEAD: u64 = 512 * 1024 * 1024;
/// Bytes of an entry's line: paths, and extended attributes in base64.
const MAX_LINE: u64 = 256 * 1024;
/// The largest window of zstd, as a power of two.
const MAX_WINDOW: u32 = 23;
/// Images have up to 127 layers where an engine stacks them.
const MAX_LAYERS: usize = 1000;

/// An index that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameIndexError {
    /// It is not text in zstd, or ends in the middle.
    #[error("the frame index cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It says what cannot be.
    #[error("the frame index {0}")]
    Wrong(String),
}

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
        match fault(&head) {
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
        mut take: impl FnMut(Entry) -> io::Result<()>,
    ) -> Result<Vec<LayerFrames>, FrameIndexError> {
        let mut count = 0;
        while let Some(line) = line(&mut self.lines, MAX_LINE)? {
            count += 1;
            if count > MAX_ENTRIES {
                let many = format!("has more than {MAX_ENTRIES} entries");
                return Err(FrameIndexError::Wrong(many));
            }
            let entry: Entry = serde_json::from_slice(&line).map_err(io::Error::from)?;
            if let Some(fault) = entry.fault(&self.layers) {
                let path = String::from_utf8_lossy(&entry.path.0);
                let path = hearth_domain::text::shortened(&path, 200);
                return Err(FrameIndexError::Wrong(format!(
                    "has an entry {path:?}, which {fault}"
                )));
            }
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

/// What is wrong with the first line.
fn fault(head: &Head) -> Option<String> {
    if head.version != VERSION || head.frame_bytes != FRAME as u64 {
        return Some(format!(
            "has version {} and frames of {} bytes; {VERSION} and {FRAME} are known",
            head.version, head.frame_bytes
        ));
    }
    if head.layers.len() > MAX_LAYERS {
        return Some(format!("has more than {MAX_LAYERS} layers"));
    }
    head.layers.iter().find_map(|layer| {
        // An archive of nothing is a frame of nothing.
        let frames = layer.archive_bytes.div_ceil(FRAME as u64).max(1);
        let bytes: u64 = layer.frames.iter().map(|frame| u64::from(frame.0)).sum();
        let is_true = frames == layer.frames.len() as u64 && bytes == layer.bytes;
        (!is_true).then(|| format!("says what cannot be of the layer {}", layer.digest))
    })
}
