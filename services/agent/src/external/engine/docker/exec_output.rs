use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::external::engine::execs::Output;

/// Bytes of output that are read at once.
const CHUNK: usize = 32 * 1024;
/// Bytes in front of each piece of output where there is no terminal.
const HEADER: usize = 8;

/// Output as Docker sends it: with a terminal as it is, otherwise in pieces that say of what they are.
pub(super) struct Pieces<R> {
    reader: R,
    /// Of what the current piece is.
    kind: Option<Kind>,
    /// Bytes of it that have not come yet.
    left: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Stdout,
    Stderr,
}

impl<R: AsyncRead + Unpin> Pieces<R> {
    pub(super) fn new(reader: R, terminal: bool) -> Self {
        Self {
            reader,
            kind: terminal.then_some(Kind::Stdout),
            left: usize::MAX,
        }
    }

    /// The next bytes; `None` at the end. A piece that is long comes in parts.
    pub(super) async fn next(&mut self) -> io::Result<Option<Output>> {
        let kind = match self.kind {
            Some(kind) => kind,
            None => match self.header().await? {
                Some(kind) => kind,
                None => return Ok(None),
            },
        };
        let mut chunk = BytesMut::with_capacity(CHUNK.min(self.left));
        if (&mut self.reader)
            .take(self.left as u64)
            .read_buf(&mut chunk)
            .await?
            == 0
        {
            return match self.left {
                usize::MAX => Ok(None),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        if self.left != usize::MAX {
            self.left -= chunk.len();
            self.kind = (self.left > 0).then_some(kind);
        }
        let chunk = chunk.freeze();
        Ok(Some(match kind {
            Kind::Stdout => Output::Stdout(chunk),
            Kind::Stderr => Output::Stderr(chunk),
        }))
    }

    /// Reads headers up to that of a piece which is not empty.
    async fn header(&mut self) -> io::Result<Option<Kind>> {
        loop {
            let mut header = [0; HEADER];
            let first = self.reader.read(&mut header[..1]).await?;
            if first == 0 {
                return Ok(None);
            }
            self.reader.read_exact(&mut header[1..]).await?;
            let [kind, _, _, _, length @ ..] = header;
            self.left = u32::from_be_bytes(length) as usize;
            let kind = match kind {
                2 => Kind::Stderr,
                0 | 1 => Kind::Stdout,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            if self.left > 0 {
                self.kind = Some(kind);
                return Ok(Some(kind));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut pieces: Pieces<&[u8]>) -> (Vec<u8>, Vec<u8>, io::Result<()>) {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match pieces.next().await {
                Ok(Some(Output::Stdout(bytes))) => stdout.extend(bytes),
                Ok(Some(Output::Stderr(bytes))) => stderr.extend(bytes),
                Ok(None) => return (stdout, stderr, Ok(())),
                Err(error) => return (stdout, stderr, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn pieces_of_any_length_are_told_apart_and_a_terminal_has_none() {
        let piece = |kind: u8, bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            [&[kind, 0, 0, 0][..], &length, bytes].concat()
        };
        let long = vec![b'x'; 3 * CHUNK + 1];
        let sent = [
            piece(1, b"a"),
            piece(2, b"\x01\x02"),
            piece(1, b""),
            piece(1, &long),
        ]
        .concat();
        let (stdout, stderr, end) = all(Pieces::new(&sent[..], false)).await;
        assert_eq!(stdout, [&b"a"[..], &long].concat());
        assert_eq!(stderr, b"\x01\x02");
        end.unwrap();
        let (stdout, _, end) = all(Pieces::new(&b"\x01\0\0$ "[..], true)).await;
        assert_eq!(stdout, b"\x01\0\0$ ");
        end.unwrap();
    }

    #[tokio::test]
    async fn output_that_breaks_off_or_is_no_piece_is_an_error() {
        for sent in [
            &b"\x01\0\0\0\0\0\0\x05abc"[..],
            b"\x01\0\0",
            b"\x07\0\0\0\0\0\0\0",
        ] {
            let (_, _, end) = all(Pieces::new(sent, false)).await;
            end.unwrap_err();
        }
    }
}
