//! Decodes the blob of a layer.

use std::{
    io::{self, Read},
    sync::mpsc::SyncSender,
    thread::Scope,
};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use tokio::sync::mpsc;

use super::{
    decoded::{Decoded, decode_to_end},
    frames,
    memory::{CHUNK, Memory},
    pieces::Pieces,
};

/// Decodes a blob by its first bytes, as containerd does: media types are not always true.
pub fn decode<'scope>(
    mut blob: Pieces,
    to: &SyncSender<Decoded>,
    memory: &Memory,
    scope: &'scope Scope<'scope, '_>,
) -> io::Result<()> {
    let beginning = blob.look(4);
    if frames::is_zstd(&beginning) {
        return frames::decode(blob, to, memory, scope);
    }
    if is_gzip(&beginning) {
        return decode_to_end(MultiGzDecoder::new(blob), to, memory).map(drop);
    }
    while let Some(chunk) = blob.next(CHUNK)
        && to.send(Decoded::Now(chunk)).is_ok()
    {}
    Ok(())
}

/// The archive of a blob that arrives in pieces, read in this thread.
pub fn archive<T>(
    mut blob: mpsc::Receiver<Bytes>,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    let mut blob = Pieces::new(std::iter::from_fn(move || blob.blocking_recv()));
    let beginning = blob.look(4);
    if frames::is_zstd(&beginning) {
        take(&mut frames::reader(blob)?)
    } else if is_gzip(&beginning) {
        take(&mut MultiGzDecoder::new(blob))
    } else {
        take(&mut blob)
    }
}

fn is_gzip(beginning: &[u8]) -> bool {
    beginning.starts_with(&[0x1f, 0x8b, 0x08])
}
