//! Streams of zstd whose frames are independent of each other (RFC 8878): small ones are decoded several at a time, large
//! ones as they arrive. Where a frame ends is read from the stream itself, and what it says of its size is not trusted.

use std::{
    io::{self, BufRead},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, channel},
    },
    thread::{self, Scope},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use zstd::{bulk::Decompressor, zstd_safe};

use super::{
    decoded::{Decoded, decode_to_end},
    memory::{Buffer, Memory},
    pieces::Pieces,
};

/// The largest window of a frame that is decoded as it arrives, as a power of two: each layer that is decoded needs one.
/// Encoders take more only when they are told to, and the engine decodes those.
const MAX_WINDOW: u32 = 25;
/// Bytes that a frame can have, decoded or not, to be decoded beside others.
const MAX_FRAME: usize = 8 * 1024 * 1024;
/// Most frames are shorter than this.
const FIRST_LOOK: usize = 128 * 1024;
/// One thread hashes what these decode, which is not as much faster.
const MAX_THREADS: usize = 4;

/// Whether a blob begins like this.
pub fn is_zstd(beginning: &[u8]) -> bool {
    let is_skippable = matches!(beginning, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    beginning.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable
}

/// Decodes a blob, and hands on what it is in order. Ends early when nobody takes it.
pub fn decode<'scope>(
    mut blob: Pieces,
    to: &SyncSender<Decoded>,
    memory: &Memory,
    scope: &'scope Scope<'scope, '_>,
) -> io::Result<()> {
    let mut jobs = None;
    while !blob.look(1).is_empty() {
        let Some((frame, bytes)) = whole(&mut blob) else {
            let decoder = reader(&mut blob)?.single_frame();
            if !decode_to_end(decoder, to, memory)? {
                return Ok(());
            }
            continue;
        };
        let (answer, decoded) = oneshot::channel();
        let job = Job {
            frame,
            into: memory.buffer(bytes),
            answer,
        };
        // The threads end when there is nothing more for them.
        let _ = jobs.get_or_insert_with(|| start(scope)).send(job);
        if to.send(Decoded::Soon(decoded)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Decodes as it reads.
pub fn reader<R: BufRead>(blob: R) -> io::Result<zstd::Decoder<'static, R>> {
    let mut decoder = zstd::Decoder::with_buffer(blob)?;
    decoder.window_log_max(MAX_WINDOW)?;
    Ok(decoder)
}

/// The next frame, if it is small, and how many bytes it can have when it is decoded.
fn whole(blob: &mut Pieces) -> Option<(Bytes, usize)> {
    let mut wanted = FIRST_LOOK;
    loop {
        let seen = blob.look(wanted);
        if let Ok(Some(bytes)) = zstd_safe::get_frame_content_size(&seen)
            && bytes > MAX_FRAME as u64
        {
            return None;
        }
        if let Ok(length) = zstd_safe::find_frame_compressed_size(&seen) {
            let frame = seen.slice(..length);
            let bytes = Decompressor::upper_bound(&frame)?;
            return (bytes <= MAX_FRAME).then(|| {
                blob.pass(length);
                (frame, bytes)
            });
        }
        // It is longer, or none at all, which its decoder says better.
        if seen.len() < wanted || wanted >= MAX_FRAME {
            return None;
        }
        wanted = MAX_FRAME.min(2 * seen.len());
    }
}

/// A frame to decode.
struct Job {
    frame: Bytes,
    into: Buffer,
    answer: oneshot::Sender<io::Result<Bytes>>,
}

fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> Sender<Job> {
    let (jobs, taken) = channel();
    let taken = Arc::new(Mutex::new(taken));
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(MAX_THREADS));
    for _ in 0..threads {
        let taken = taken.clone();
        scope.spawn(move || work(&taken));
    }
    jobs
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    let mut decoder = Decompressor::new();
    loop {
        let Ok(mut job) = jobs.lock().recv() else {
            return;
        };
        let decoded = match &mut decoder {
            Ok(decoder) => decoder.decompress_to_buffer(&job.frame, job.into.free()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        // Nobody waits any more when the archive is not taken any more.
        let _ = job.answer.send(decoded.map(|bytes| {
            job.into.fill(bytes);
            Bytes::from_owner(job.into)
        }));
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
