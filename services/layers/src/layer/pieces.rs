//! Bytes that arrive in pieces over time.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Read},
};

use bytes::{Buf as _, Bytes, BytesMut};

/// Reads pieces one after the other. They are copied only where a look at what comes next spans several.
pub struct Pieces {
    pieces: Box<dyn Iterator<Item = Bytes> + Send>,
    /// What has arrived and was not taken; none is empty.
    here: VecDeque<Bytes>,
}

impl Pieces {
    pub fn new(pieces: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> Self {
        Self {
            pieces: Box::new(pieces.into_iter()),
            here: VecDeque::new(),
        }
    }

    /// Waits for another piece. `false`: there is none.
    fn more(&mut self) -> bool {
        let piece = self.pieces.find(|piece| !piece.is_empty());
        let is_one = piece.is_some();
        self.here.extend(piece);
        is_one
    }

    /// What comes next, without taking it: at least so many bytes, or all up to the end.
    pub fn look(&mut self, bytes: usize) -> Bytes {
        let mut length = self.here.iter().map(Bytes::len).sum::<usize>();
        while length < bytes && self.more() {
            length += self.here.back().map_or(0, Bytes::len);
        }
        match self.here.front() {
            None => Bytes::new(),
            Some(first) if first.len() >= bytes || self.here.len() == 1 => first.clone(),
            Some(_) => {
                let mut joined = BytesMut::with_capacity(bytes);
                for piece in &self.here {
                    let left = bytes - joined.len();
                    joined.extend_from_slice(&piece[..piece.len().min(left)]);
                }
                joined.freeze()
            }
        }
    }

    /// Passes over bytes that a look has shown.
    pub fn pass(&mut self, mut bytes: usize) {
        while let Some(first) = self.here.front_mut() {
            let passed = first.len().min(bytes);
            first.advance(passed);
            bytes -= passed;
            if !first.is_empty() {
                return;
            }
            self.here.pop_front();
        }
    }

    /// The next bytes, at most so many; `None` at the end.
    pub fn next(&mut self, bytes: usize) -> Option<Bytes> {
        if self.here.is_empty() {
            self.more();
        }
        let first = self.here.front()?;
        let taken = first.slice(..first.len().min(bytes));
        self.pass(taken.len());
        Some(taken)
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.here.is_empty() {
            self.more();
        }
        Ok(self.here.front().map_or(&[], |piece| piece))
    }

    fn consume(&mut self, amount: usize) {
        self.pass(amount);
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(into.len());
        into[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
