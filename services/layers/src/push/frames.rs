//! A layer as frames of zstd (RFC 8878): each has as many bytes of the archive, is independent of the others and says how
//! many bytes it has. Any decoder of zstd reads them one after the other.

use std::{
    fs::File,
    io::{self, BufRead, Read, Write as _},
};

use hearth_domain::Digest;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use zstd::bulk::Compressor;

/// Bytes of the archive in a frame; the last one has the rest.
pub const FRAME: usize = 256 * 1024;
/// With the version of the encoder, which Cargo.lock has, it decides what the frames are: the same archive is the same blob on
/// every node.
const LEVEL: i32 = 3;

/// A layer that was encoded.
#[derive(Debug)]
pub struct Encoded {
    /// Digest of its blob.
    pub digest: Digest,
    /// Bytes of its blob.
    pub bytes: u64,
    /// Digest of its archive.
    pub diff_id: Digest,
}

/// Encodes an archive into a file.
pub fn encode(
    archive: &mut dyn Read,
    into: &File,
    given_up: &CancellationToken,
) -> io::Result<Encoded> {
    let mut framer = Framer::new(archive, into, given_up)?;
    loop {
        let length = framer.fill_buf()?.len();
        if length == 0 {
            return framer.finish();
        }
        framer.consume(length);
    }
}

/// Hands an archive on, and encodes what it hands on.
struct Framer<'a> {
    archive: &'a mut dyn Read,
    into: &'a File,
    given_up: &'a CancellationToken,
    compressor: Compressor<'static>,
    /// The frame that is handed on, and how much of it has been.
    frame: Vec<u8>,
    taken: usize,
    compressed: Vec<u8>,
    bytes: u64,
    of_archive: Sha256,
    of_blob: Sha256,
}

impl<'a> Framer<'a> {
    fn new(
        archive: &'a mut dyn Read,
        into: &'a File,
        given_up: &'a CancellationToken,
    ) -> io::Result<Self> {
        Ok(Self {
            archive,
            into,
            given_up,
            compressor: Compressor::new(LEVEL)?,
            frame: Vec::with_capacity(FRAME),
            taken: 0,
            compressed: Vec::with_capacity(zstd::zstd_safe::compress_bound(FRAME)),
            bytes: 0,
            of_archive: Sha256::new(),
            of_blob: Sha256::new(),
        })
    }

    fn encode(&mut self) -> io::Result<()> {
        self.compressed.clear();
        self.compressor
            .compress_to_buffer(&self.frame, &mut self.compressed)?;
        self.bytes += self.compressed.len() as u64;
        self.of_archive.update(&self.frame);
        self.of_blob.update(&self.compressed);
        let mut into = self.into;
        into.write_all(&self.compressed)
    }

    fn finish(mut self) -> io::Result<Encoded> {
        // An archive of nothing is a frame of nothing.
        if self.bytes == 0 {
            self.encode()?;
        }
        Ok(Encoded {
            digest: Digest::from_sha256(self.of_blob.finalize().into()),
            bytes: self.bytes,
            diff_id: Digest::from_sha256(self.of_archive.finalize().into()),
        })
    }
}

impl BufRead for Framer<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.frame.len() {
            if self.given_up.is_cancelled() {
                return Err(io::Error::other("it was given up"));
            }
            self.frame.clear();
            self.taken = 0;
            let archive = &mut *self.archive;
            archive.take(FRAME as u64).read_to_end(&mut self.frame)?;
            if !self.frame.is_empty() {
                self.encode()?;
            }
        }
        Ok(&self.frame[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
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
