//! A layer as frames of zstd (RFC 8878): each has as many bytes of the archive, is independent of the others and says how
//! many bytes it has. Any decoder of zstd reads them one after the other.

use std::{
    cell::Cell,
    io::{self, BufRead, Read, Write as _},
};

use hearth_domain::Digest;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use zstd::bulk::Compressor;

use super::pace::Pace;
use crate::{
    frame_index::{Entry, FRAME, Frame, FrameIndexError, LayerFrames, Rows},
    layer::Archive,
    spool::SpoolFile,
};

/// With the version of the encoder, which Cargo.lock has, it decides what the frames are: the same archive is the same blob on
/// every node.
const LEVEL: i32 = 1;

/// A layer that was encoded.
pub struct Encoded {
    /// Its frames, and what they are together.
    pub frames: LayerFrames,
    /// Its members, or why an index cannot list them.
    pub rows: Result<Rows, FrameIndexError>,
}

/// Encodes an archive into a file, and lists its members in another one.
pub fn encode(
    archive: &mut dyn Read,
    into: &SpoolFile,
    rows: Rows,
    given_up: &CancellationToken,
) -> io::Result<Encoded> {
    let position = Cell::new(0);
    let mut framer = Framer::new(archive, into, &position, given_up)?;
    let rows = list(&mut framer, &position, rows);
    // Whatever it is, all of it is sent.
    loop {
        let length = framer.fill_buf()?.len();
        if length == 0 {
            break;
        }
        framer.consume(length);
    }
    Ok(Encoded {
        frames: framer.finish()?,
        rows,
    })
}

fn list(from: impl BufRead, position: &Cell<u64>, mut rows: Rows) -> Result<Rows, FrameIndexError> {
    let mut archive = Archive::new(from);
    while let Some(member) = archive.next()? {
        if let Some(entry) = Entry::new(&member, position.get())? {
            rows.add(&entry)?;
        }
    }
    Ok(rows)
}

/// Hands an archive on, and encodes what it hands on.
struct Framer<'a> {
    archive: &'a mut dyn Read,
    into: &'a SpoolFile,
    given_up: &'a CancellationToken,
    compressor: Compressor<'static>,
    pace: Pace,
    /// The frame that is handed on, and how much of it has been.
    frame: Vec<u8>,
    taken: usize,
    compressed: Vec<u8>,
    /// How much of the archive was handed on.
    position: &'a Cell<u64>,
    frames: Vec<Frame>,
    archive_bytes: u64,
    bytes: u64,
    of_archive: Sha256,
    of_blob: Sha256,
    /// It is not forgotten if whoever lists the members takes it for the archive's.
    failed: Option<io::Error>,
}

impl<'a> Framer<'a> {
    fn new(
        archive: &'a mut dyn Read,
        into: &'a SpoolFile,
        position: &'a Cell<u64>,
        given_up: &'a CancellationToken,
    ) -> io::Result<Self> {
        Ok(Self {
            archive,
            into,
            given_up,
            compressor: Compressor::new(LEVEL)?,
            pace: Pace::new(),
            frame: Vec::with_capacity(FRAME),
            taken: 0,
            compressed: Vec::with_capacity(zstd::zstd_safe::compress_bound(FRAME)),
            position,
            frames: Vec::new(),
            archive_bytes: 0,
            bytes: 0,
            of_archive: Sha256::new(),
            of_blob: Sha256::new(),
            failed: None,
        })
    }

    fn encode(&mut self) -> io::Result<()> {
        self.compressed.clear();
        self.compressor
            .compress_to_buffer(&self.frame, &mut self.compressed)?;
        self.bytes += self.compressed.len() as u64;
        self.archive_bytes += self.frame.len() as u64;
        let bytes = u32::try_from(self.compressed.len()).map_err(io::Error::other)?;
        self.frames.push(Frame(bytes, Digest::of(&self.frame)));
        self.of_archive.update(&self.frame);
        self.of_blob.update(&self.compressed);
        let mut into = self.into;
        into.write_all(&self.compressed)
    }

    /// The next frame; an empty one at the end.
    fn next(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.given_up.is_cancelled() {
            return Err(io::Error::other("it was given up"));
        }
        self.frame.clear();
        self.taken = 0;
        let archive = &mut *self.archive;
        archive.take(FRAME as u64).read_to_end(&mut self.frame)?;
        match self.frame.is_empty() {
            true => Ok(()),
            false => {
                self.encode()?;
                self.pace.rest();
                Ok(())
            }
        }
    }

    fn finish(mut self) -> io::Result<LayerFrames> {
        // An archive of nothing is a frame of nothing.
        if self.bytes == 0 {
            self.encode()?;
        }
        Ok(LayerFrames {
            digest: Digest::from_sha256(self.of_blob.finalize().into()),
            bytes: self.bytes,
            diff_id: Digest::from_sha256(self.of_archive.finalize().into()),
            archive_bytes: self.archive_bytes,
            frames: self.frames,
        })
    }
}

impl BufRead for Framer<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.frame.len()
            && let Err(error) = self.next()
        {
            // What is left of the frame is not handed on.
            self.taken = self.frame.len();
            let same = io::Error::new(error.kind(), error.to_string());
            self.failed = Some(same);
            return Err(error);
        }
        Ok(&self.frame[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
        self.position.set(self.position.get() + amount as u64);
    }
}

impl Read for Framer<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(into.len());
        into[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
