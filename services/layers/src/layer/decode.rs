//! The threads of a layer: one decodes what arrives, one hashes the archive, one writes its members.

use std::{
    io::{self, BufRead, Read},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use hearth_domain::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    tree::Implied,
    unpack::{LayerError, Unpacking},
};

/// Bytes that are hashed and written at a time.
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for a thread.
const WAITING: usize = 8;
/// Pieces of the blob that wait to be decoded.
const ARRIVED: usize = 2;
/// The largest window of a zstd frame, as a power of two: each layer that is decoded needs one. Encoders take more only when
/// they are told to, and the engine decodes those.
const MAX_WINDOW: u32 = 25;

/// A layer that was written.
#[derive(Debug)]
pub struct Written {
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
}

/// Unpacks a layer into an empty folder.
pub fn start(folder: PathBuf, is_upper: bool, ongoing: Ongoing) -> io::Result<Unpack> {
    let (blob, arrived) = mpsc::channel(ARRIVED);
    let (answer, written) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("layer".to_owned())
        .spawn(move || {
            // Nobody waits any more when the import was given up.
            let _ = answer.send(unpack(Arrived::new(arrived), folder, is_upper, &ongoing));
        })?;
    Ok(Unpack {
        blob,
        written,
        thread,
    })
}

fn unpack(
    blob: Arrived,
    folder: PathBuf,
    is_upper: bool,
    ongoing: &Ongoing,
) -> Result<Written, LayerError> {
    thread::scope(|scope| {
        let (to_hash, hash) = sync_channel::<Bytes>(WAITING);
        let (to_write, members) = sync_channel::<Bytes>(WAITING);
        let hashing = scope.spawn(move || {
            let mut sum = Sha256::new();
            hash.iter().for_each(|chunk| sum.update(&chunk));
            Digest::from_sha256(sum.finalize().into())
        });
        let writing = scope.spawn(move || {
            let unpacking = Unpacking::new(&folder, is_upper)?;
            unpacking.unpack(Chunks::new(members))
        });
        let decoded = decode(blob, &[to_hash, to_write], ongoing);
        let panicked = |_| io::Error::other("a thread has panicked");
        let (diff_id, written) = (hashing.join(), writing.join());
        // An archive that breaks off is not what is wrong with a blob that cannot be decoded.
        decoded?;
        let implied = written.map_err(panicked)??;
        Ok(Written {
            diff_id: diff_id.map_err(panicked)?,
            implied,
        })
    })
}

/// Hands the decoded archive on. Ends early if the others do: they say why.
fn decode(mut blob: Arrived, to: &[SyncSender<Bytes>], ongoing: &Ongoing) -> io::Result<()> {
    let mut archive = decoder(&mut blob)?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        archive
            .by_ref()
            .take(CHUNK as u64)
            .read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(());
        }
        if ongoing.given_up.is_cancelled() {
            return Err(io::Error::other("it was given up"));
        }
        ongoing
            .decoded
            .fetch_add(chunk.len() as u64, Ordering::Relaxed);
        let chunk = Bytes::from(chunk);
        if to.iter().any(|to| to.send(chunk.clone()).is_err()) {
            return Ok(());
        }
    }
}

/// The archive of a blob that arrives in pieces.
pub fn archive<T>(
    blob: mpsc::Receiver<Bytes>,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    let mut blob = Arrived::new(blob);
    take(&mut *decoder(&mut blob)?)
}

/// By the blob's first bytes, as containerd does: media types are not always true.
fn decoder(blob: &mut Arrived) -> io::Result<Box<dyn Read + '_>> {
    let beginning = blob.beginning();
    Ok(if beginning.starts_with(&[0x1f, 0x8b, 0x08]) {
        Box::new(MultiGzDecoder::new(blob))
    } else if beginning.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable(&beginning) {
        let mut decoder = zstd::Decoder::with_buffer(blob)?;
        decoder.window_log_max(MAX_WINDOW)?;
        Box::new(decoder)
    } else {
        Box::new(blob)
    })
}

/// A frame of zstd that has no data (RFC 8878, "Skippable Frames").
fn is_skippable(beginning: &[u8]) -> bool {
    matches!(beginning, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Reads pieces that arrive over time.
trait Pieces {
    fn next(&mut self) -> Option<Bytes>;
}

impl Pieces for mpsc::Receiver<Bytes> {
    fn next(&mut self) -> Option<Bytes> {
        self.blocking_recv()
    }
}

impl Pieces for Receiver<Bytes> {
    fn next(&mut self) -> Option<Bytes> {
        self.recv().ok()
    }
}

struct Joined<P> {
    pieces: P,
    current: Bytes,
}

type Arrived = Joined<mpsc::Receiver<Bytes>>;
type Chunks = Joined<Receiver<Bytes>>;

impl<P: Pieces> Joined<P> {
    fn new(pieces: P) -> Self {
        Self {
            pieces,
            current: Bytes::new(),
        }
    }

    /// The first bytes, without taking them; fewer than four if there are no more.
    fn beginning(&mut self) -> Vec<u8> {
        while self.current.len() < 4 {
            let Some(more) = self.pieces.next() else {
                break;
            };
            self.current = [&self.current[..], &more].concat().into();
        }
        self.current[..self.current.len().min(4)].to_vec()
    }
}

impl<P: Pieces> BufRead for Joined<P> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            let Some(next) = self.pieces.next() else {
                break;
            };
            self.current = next;
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl<P: Pieces> Read for Joined<P> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(into.len());
        into[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_layer_that_was_given_up_is_not_decoded_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let zeros = zstd::encode_all(&vec![0; 64 * 1024 * 1024][..], 1).unwrap();
        let ongoing = Ongoing::default();
        let unpack = start(folder.path().to_owned(), false, ongoing.clone()).unwrap();
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
