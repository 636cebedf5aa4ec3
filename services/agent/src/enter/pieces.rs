//! Bytes that a call carries both ways, as a stream to read from and to write to.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};
use tokio_util::sync::PollSender;

/// Bytes of the longest piece that is sent.
const LONGEST: usize = 32 * 1024;

/// The two ways of a call.
pub struct Pieces {
    arriving: BoxStream<'static, io::Result<Bytes>>,
    read: Bytes,
    leaving: PollSender<Bytes>,
}

impl Pieces {
    pub fn new(
        arriving: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        leaving: mpsc::Sender<Bytes>,
    ) -> Self {
        Self {
            arriving: arriving.boxed(),
            read: Bytes::new(),
            leaving: PollSender::new(leaving),
        }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.read.is_empty() {
            match ready!(self.arriving.poll_next_unpin(cx)) {
                Some(piece) => self.read = piece?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.read.len().min(into.remaining());
        into.put_slice(&self.read[..length]);
        self.read.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.leaving.poll_reserve(cx)).map_err(gone)?;
        let length = from.len().min(LONGEST);
        let piece = Bytes::copy_from_slice(&from[..length]);
        self.leaving.send_item(piece).map_err(gone)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.leaving.close();
        Poll::Ready(Ok(()))
    }
}
