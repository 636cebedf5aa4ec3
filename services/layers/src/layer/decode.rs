//! The threads of a layer: one hashes and keeps what arrives, one decodes it, one hashes the archive, one writes its members.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use hearth_domain::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    decoded::Decoded,
    decoder::decode,
    memory::Memory,
    pieces::Pieces,
    tree::Implied,
    unpack::{LayerError, Unpacking},
};

/// Chunks that wait for a thread.
const WAITING: usize = 8;
/// Pieces of the blob that wait for a thread.
const ARRIVED: usize = 1;

/// A layer that was written.
#[derive(Debug)]
pub struct Written {
    /// Digest of its blob.
    pub blob: Digest,
    /// Digest of its archive.
    pub diff_id: Digest,
    /// Folders that it says nothing about.
    pub implied: Implied,
}

/// A layer that is being unpacked.
pub struct Unpack {
    /// Takes the blob in pieces. It has ended when this is dropped.
    pub blob: mpsc::Sender<Bytes>,
    /// Answers after the blob has ended, or when something fails.
    pub written: oneshot::Receiver<Result<Written, LayerError>>,
    /// Ends soon after `blob` was dropped.
    pub thread: JoinHandle<()>,
}

/// What the threads of an import have in common.
#[derive(Clone, Debug, Default)]
pub struct Ongoing {
    /// They end soon after this: a small blob can be a large archive.
    pub given_up: CancellationToken,
    /// Grows with what they decode.
    pub decoded: Arc<AtomicU64>,
    /// For what they decode.
    pub memory: Memory,
}

/// Unpacks a layer into an empty folder. Its blob is handed to `keep`, too.
pub fn start(
    folder: PathBuf,
    keep: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    is_upper: bool,
    ongoing: Ongoing,
) -> io::Result<Unpack> {
    let (blob, arrived) = mpsc::channel(ARRIVED);
    let (answer, written) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("layer".to_owned())
        .spawn(move || {
            // Nobody waits any more when the import was given up.
            let _ = answer.send(unpack(arrived, keep, folder, is_upper, &ongoing));
        })?;
    Ok(Unpack {
        blob,
        written,
        thread,
    })
}

fn unpack(
    arrived: mpsc::Receiver<Bytes>,
    keep: impl FnMut(&[u8]) -> io::Result<()> + Send,
    folder: PathBuf,
    is_upper: bool,
    ongoing: &Ongoing,
) -> Result<Written, LayerError> {
    thread::scope(|scope| {
        let (taken, to_decode) = sync_channel(ARRIVED);
        let (decoded, to_hash) = sync_channel(WAITING);
        let (hashed, to_write) = sync_channel(WAITING);
        let keeping = scope.spawn(move || pass_on(arrived, keep, &taken));
        let hashing = scope.spawn(move || hash(&to_hash, &hashed, ongoing));
        let writing = scope.spawn(move || {
            let unpacking = Unpacking::new(&folder, is_upper)?;
            unpacking.unpack(Pieces::new(to_write))
        });
        let decoding = decode(Pieces::new(to_decode), &decoded, &ongoing.memory, scope);
        drop(decoded);
        let panicked = |_| io::Error::other("a thread has panicked");
        let (blob, diff_id, written) = (keeping.join(), hashing.join(), writing.join());
        let blob = blob.map_err(panicked)??;
        // An archive that breaks off is not what is wrong with a blob that cannot be decoded.
        decoding?;
        let diff_id = diff_id.map_err(panicked)??;
        let implied = written.map_err(panicked)??;
        Ok(Written {
            blob,
            diff_id,
            implied,
        })
    })
}

/// Hashes a blob, keeps it, and hands it on. Ends early if it is not taken: the other end says why.
fn pass_on(
    mut arrived: mpsc::Receiver<Bytes>,
    mut keep: impl FnMut(&[u8]) -> io::Result<()>,
    to: &SyncSender<Bytes>,
) -> io::Result<Digest> {
    let mut sum = Sha256::new();
    while let Some(piece) = arrived.blocking_recv() {
        sum.update(&piece);
        keep(&piece)?;
        if to.send(piece).is_err() {
            break;
        }
    }
    Ok(Digest::from_sha256(sum.finalize().into()))
}

/// Hashes an archive, and hands it on. Ends early if it is not taken: the other end says why.
fn hash(
    archive: &Receiver<Decoded>,
    to: &SyncSender<Bytes>,
    ongoing: &Ongoing,
) -> io::Result<Digest> {
    let mut sum = Sha256::new();
    for chunk in archive {
        let chunk = chunk.wait()?;
        if ongoing.given_up.is_cancelled() {
            return Err(io::Error::other("it was given up"));
        }
        ongoing
            .decoded
            .fetch_add(chunk.len() as u64, Ordering::Relaxed);
        sum.update(&chunk);
        if to.send(chunk).is_err() {
            break;
        }
    }
    Ok(Digest::from_sha256(sum.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_layer_that_was_given_up_is_not_decoded_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let zeros = zstd::encode_all(&vec![0; 64 * 1024 * 1024][..], 1).unwrap();
        let ongoing = Ongoing::default();
        let keep = |_: &[u8]| Ok(());
        let unpack = start(folder.path().to_owned(), keep, false, ongoing.clone()).unwrap();
        // Five small pieces of a blob, which are 320 MiB of an archive.
        for _ in 0..5 {
            let _ = unpack.blob.send(zeros.clone().into()).await;
            ongoing.given_up.cancel();
        }
        drop(unpack.blob);
        let error = unpack.written.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("given up"), "{error}");
        assert!(ongoing.decoded.load(Ordering::Relaxed) < 64 * 1024 * 1024);
        unpack.thread.join().unwrap();
    }
}
