//! Ways for tests into what reads layers, without a registry and an engine.

use std::{
    io,
    path::Path,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use bytes::Bytes;

use super::{
    decoded::Decoded,
    decoder,
    memory::Memory,
    pieces::Pieces,
    unpack::{LayerError, Unpacking},
};

/// The archive of a blob that arrives in pieces, and why it ends; it is not decoded much further than `limit`.
pub fn decode(pieces: &[Bytes], limit: usize) -> (Vec<u8>, io::Result<()>) {
    let (send, arrived) = sync_channel(pieces.len());
    for piece in pieces {
        // There is room for all.
        let _ = send.try_send(piece.clone());
    }
    drop(send);
    thread::scope(|scope| {
        let (to, decoded) = sync_channel(2);
        let reading = scope.spawn(move || read(&decoded, limit));
        let decoding = decoder::decode(Pieces::new(arrived), &to, &Memory::default(), scope);
        drop(to);
        let panicked = |_| (Vec::new(), Err(io::Error::other("a thread has panicked")));
        let (archive, read) = reading.join().unwrap_or_else(panicked);
        (archive, decoding.and(read))
    })
}

fn read(decoded: &Receiver<Decoded>, limit: usize) -> (Vec<u8>, io::Result<()>) {
    let mut archive = Vec::new();
    for chunk in decoded {
        match chunk.wait() {
            Ok(chunk) => archive.extend_from_slice(&chunk),
            Err(error) => return (archive, Err(error)),
        }
        if archive.len() >= limit {
            break;
        }
    }
    (archive, Ok(()))
}

/// Unpacks an archive into an empty folder.
///
/// # Errors
///
/// As an import fails.
pub fn unpack(archive: &[u8], folder: &Path, is_upper: bool) -> Result<(), LayerError> {
    let (send, chunks) = sync_channel(1);
    // There is room for one.
    let _ = send.try_send(Bytes::copy_from_slice(archive));
    drop(send);
    let unpacking = Unpacking::new(folder, is_upper)?;
    unpacking.unpack(Pieces::new(chunks)).map(drop)
}
