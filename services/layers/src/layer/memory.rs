//! Memory for decoded bytes. All layers of an import share it, and wait when it is used up.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Bytes of a buffer that is used again: pages that the kernel has just given cost as much as decoding into them. It fits
/// the second-level cache of a core, with what it is decoded from.
pub const CHUNK: usize = 256 * 1024;
/// Bytes of all buffers.
const ALL: usize = 64 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    left: usize,
    /// Buffers of [`CHUNK`] bytes that nobody has.
    spare: Vec<Box<[u8]>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                left: ALL,
                spare: Vec::new(),
            }),
            freed: Condvar::new(),
        }))
    }
}

impl Memory {
    /// A buffer of at least so many bytes, of which there have to be enough. Who waits here must have none that only it can
    /// free.
    pub fn buffer(&self, bytes: usize) -> Buffer {
        let bytes = bytes.clamp(CHUNK, ALL);
        let mut state = self.0.state.lock();
        self.0
            .freed
            .wait_while(&mut state, |state| state.left < bytes);
        state.left -= bytes;
        if bytes != CHUNK {
            // Both together would be more than all.
            state.spare.clear();
        }
        let spare = state.spare.pop();
        drop(state);
        Buffer {
            bytes: spare.unwrap_or_else(|| vec![0; bytes].into()),
            filled: 0,
            memory: self.clone(),
        }
    }
}

/// Bytes that go back to where they came from.
pub struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
    memory: Memory,
}

impl Buffer {
    /// What is not filled.
    pub fn free(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// So many bytes of what was free are filled now.
    pub fn fill(&mut self, bytes: usize) {
        self.filled += bytes;
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut state = self.memory.0.state.lock();
        state.left += bytes.len();
        if bytes.len() == CHUNK {
            state.spare.push(bytes);
        }
        drop(state);
        self.memory.0.freed.notify_all();
    }
}
