//! Stdin, stdout and stderr beside the calls: each has a thread, since one that waits must not hold up a connection.

use std::{
    io::{self, Read, Write},
    thread,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::CliError;

/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;
/// Pieces that wait on either way.
const WAITING: usize = 4;

/// What is read from stdin, until its end. The thread may be left behind in a read: it ends with the process.
pub(super) fn input() -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match stdin.read(&mut chunk) {
                Ok(0) => return,
                Ok(read) => Ok(Bytes::copy_from_slice(&chunk[..read])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The way to stdout or stderr.
pub(super) struct Output {
    pieces: mpsc::Sender<Bytes>,
    ended: mpsc::Receiver<io::Result<()>>,
}

impl Output {
    pub(super) fn stdout() -> Self {
        Self::to(io::stdout())
    }

    pub(super) fn stderr() -> Self {
        Self::to(io::stderr())
    }

    fn to(mut output: impl Write + Send + 'static) -> Self {
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(WAITING);
        let (end, ended) = mpsc::channel(1);
        thread::spawn(move || {
            let mut written = Ok(());
            while let Some(piece) = waiting.blocking_recv() {
                written = output.write_all(&piece).and_then(|()| output.flush());
                if written.is_err() {
                    break;
                }
            }
            let _ = end.blocking_send(written);
        });
        Self { pieces, ended }
    }

    /// Writes, when what was written before has gone.
    pub(super) async fn write(&mut self, piece: Bytes) -> Result<(), CliError> {
        match self.pieces.send(piece).await {
            Ok(()) => Ok(()),
            Err(_) => self.result().await,
        }
    }

    /// Waits until everything is written.
    pub(super) async fn finish(mut self) -> Result<(), CliError> {
        drop(std::mem::replace(&mut self.pieces, mpsc::channel(1).0));
        self.result().await
    }

    async fn result(&mut self) -> Result<(), CliError> {
        let written = self.ended.recv().await.unwrap_or(Ok(()));
        written.map_err(CliError::Output)
    }
}
