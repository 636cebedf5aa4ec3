//! Decodes the blob of a layer.

use std::{io, sync::mpsc::SyncSender, thread::Scope};

use flate2::bufread::MultiGzDecoder;

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
    if beginning.starts_with(&[0x1f, 0x8b, 0x08]) {
        return decode_to_end(MultiGzDecoder::new(blob), to, memory).map(drop);
    }
    while let Some(chunk) = blob.next(CHUNK)
        && to.send(Decoded::Now(chunk)).is_ok()
    {}
    Ok(())
}
