//! What a client sends on a channel, until its command has taken it. The server's library gives a channel more room as soon as
//! something has arrived, so the room is kept tiny here while too much waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::external::engine::{Signal, TerminalSize};

/// Bytes that a client may send ahead.
pub const WINDOW: u32 = 1024 * 1024;
/// The same while a command does not read. The library asks what is next when they were sent.
const TRICKLE: u32 = 2;
/// Waiting bytes from which on only that is granted.
const MUCH: usize = 1024 * 1024;
/// Waiting bytes that are too many: what is granted to one channel another may use.
const MOST: usize = 64 * 1024 * 1024;
/// Changes of a terminal and signals that may wait. More are dropped.
const CONTROLS: usize = 32;

/// A piece of input.
pub enum Input {
    Bytes(Bytes),
    End,
}

/// What comes beside it.
pub enum Control {
    Resize(TerminalSize),
    Signal(Signal),
}

/// The sending end.
pub struct Sender {
    inputs: mpsc::UnboundedSender<Input>,
    controls: mpsc::Sender<Control>,
    waiting: Arc<AtomicUsize>,
}

/// The receiving ends.
pub struct Receiver {
    pub inputs: Inputs,
    pub controls: mpsc::Receiver<Control>,
}

/// The receiving end of the input.
pub struct Inputs {
    pieces: mpsc::UnboundedReceiver<Input>,
    waiting: Arc<AtomicUsize>,
}

pub fn channel() -> (Sender, Receiver) {
    let (inputs, of_inputs) = mpsc::unbounded_channel();
    let (controls, of_controls) = mpsc::channel(CONTROLS);
    let waiting = Arc::new(AtomicUsize::new(0));
    let sender = Sender {
        inputs,
        controls,
        waiting: waiting.clone(),
    };
    let inputs = Inputs {
        pieces: of_inputs,
        waiting,
    };
    let receiver = Receiver {
        inputs,
        controls: of_controls,
    };
    (sender, receiver)
}

impl Sender {
    /// False: too much waits.
    pub fn bytes(&self, bytes: &[u8]) -> bool {
        if self.inputs.is_closed() {
            return true;
        }
        let before = self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        let _ = self
            .inputs
            .send(Input::Bytes(Bytes::copy_from_slice(bytes)));
        before <= MOST
    }

    /// Whether nobody takes anything any more.
    pub fn is_over(&self) -> bool {
        self.inputs.is_closed()
    }

    pub fn end(&self) {
        let _ = self.inputs.send(Input::End);
    }

    pub fn control(&self, control: Control) {
        let _ = self.controls.try_send(control);
    }

    /// Bytes that the client may send next.
    pub fn window(&self) -> u32 {
        let much = !self.inputs.is_closed() && self.waiting.load(Ordering::Relaxed) > MUCH;
        if much { TRICKLE } else { WINDOW }
    }
}

impl Inputs {
    /// The next piece. What was received before counts as taken. `None`: the client has closed the channel.
    pub async fn next(&mut self, before: usize) -> Option<Input> {
        self.waiting.fetch_sub(before, Ordering::Relaxed);
        self.pieces.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_makes_the_window_tiny_until_it_was_taken_and_has_an_end() {
        let (sender, mut receiver) = channel();
        let piece = vec![0; 256 * 1024];
        for _ in 0..5 {
            assert!(sender.bytes(&piece));
        }
        assert_eq!(sender.window(), TRICKLE);
        for taken in [0, piece.len(), piece.len()] {
            assert!(receiver.inputs.next(taken).await.is_some());
        }
        assert_eq!(sender.window(), WINDOW);
        let mut pieces = 0;
        while sender.bytes(&piece) {
            pieces += 1;
        }
        assert!((250..260).contains(&pieces), "{pieces}");
        // A command that has ended takes nothing, and what comes is dropped.
        drop(receiver);
        assert!(sender.bytes(&piece));
        assert_eq!(sender.window(), WINDOW);
    }
}
