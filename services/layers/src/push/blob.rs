//! A blob that is sent.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _},
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use bytes::Bytes;
use hearth_domain::Digest;
use sha2::{Digest as _, Sha256};

/// A blob, and what it is.
#[derive(Clone, Debug)]
pub struct Blob {
    pub digest: Digest,
    pub bytes: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    File(Arc<File>),
}

impl Blob {
    pub fn of(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self {
            digest: Digest::of(&content),
            bytes: content.len() as u64,
            content: Content::Memory(content),
        }
    }

    pub fn in_file(digest: Digest, bytes: u64, file: File) -> Self {
        Self {
            digest,
            bytes,
            content: Content::File(Arc::new(file)),
        }
    }

    /// All of a file.
    pub fn of_file(file: File) -> io::Result<Self> {
        let (mut sum, mut bytes) = (Sha256::new(), 0);
        let mut content = BufReader::new(&file);
        content.rewind()?;
        loop {
            let piece = content.fill_buf()?;
            if piece.is_empty() {
                break;
            }
            sum.update(piece);
            let length = piece.len();
            content.consume(length);
            bytes += length as u64;
        }
        Ok(Self::in_file(
            Digest::from_sha256(sum.finalize().into()),
            bytes,
            file,
        ))
    }

    /// A part of it, which has to be within it.
    pub fn part(&self, range: Range<u64>) -> io::Result<Bytes> {
        let place = |at: u64| usize::try_from(at).map_err(io::Error::other);
        match &self.content {
            Content::Memory(all) => Ok(all.slice(place(range.start)?..place(range.end)?)),
            Content::File(file) => {
                let mut part = vec![0; place(range.end - range.start)?];
                file.read_exact_at(&mut part, range.start)?;
                Ok(part.into())
            }
        }
    }
}
