//! What decoders hand on.

use std::{
    io::{self, Read},
    sync::mpsc::SyncSender,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::memory::{CHUNK, Memory};

/// The next bytes of an archive.
pub enum Decoded {
    /// Here they are.
    Now(Bytes),
    /// Another thread decodes them.
    Soon(oneshot::Receiver<io::Result<Bytes>>),
}

impl Decoded {
    /// Waits for them.
    pub fn wait(self) -> io::Result<Bytes> {
        match self {
            Self::Now(bytes) => Ok(bytes),
            Self::Soon(bytes) => bytes
                .blocking_recv()
                .unwrap_or_else(|_| Err(io::Error::other("a thread has panicked"))),
        }
    }
}

/// Hands on what a decoder reads. `false`: it is not taken any more.
pub fn decode_to_end(
    mut decoder: impl Read,
    to: &SyncSender<Decoded>,
    memory: &Memory,
) -> io::Result<bool> {
    loop {
        let mut chunk = memory.buffer(CHUNK);
        while !chunk.free().is_empty() {
            match decoder.read(chunk.free())? {
                0 => break,
                bytes => chunk.fill(bytes),
            }
        }
        let is_last = !chunk.free().is_empty();
        if to.send(Decoded::Now(Bytes::from_owner(chunk))).is_err() {
            return Ok(false);
        }
        if is_last {
            return Ok(true);
        }
    }
}
