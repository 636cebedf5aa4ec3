use std::{collections::VecDeque, time::Duration};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// A command that prints nothing for this long is quiet.
const QUIET: Duration = Duration::from_millis(200);
/// Longest line that is not split, in bytes.
pub(crate) const MAX_LINE: usize = 2 * 1024 * 1024;
/// Most of a command's output that is kept for a failure, in bytes.
pub(super) const MAX_TAIL: usize = 8 * 1024;

/// Longest line of it that is not cut.
const MAX_TAIL_LINE: usize = MAX_TAIL / 8;

/// An event on a command's stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without its newline.
    Text(&'a str),
    /// A state of a line that the command writes again and again, such as a progress bar. The last one is a [`Self::Text`].
    Update(&'a str),
    /// The command prints nothing for the moment: a good time to pass on what was collected.
    Quiet,
}

/// Called with the lines of a command as they come.
pub type OnLine<'a> = &'a mut (dyn FnMut(Line<'_>) + Send);

/// Calls back for every line, in bounded memory.
pub(super) async fn for_each_line(
    reader: impl AsyncRead + Unpin,
    mut on_line: impl FnMut(Line<'_>),
) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    let mut lines = Lines::default();
    let mut quiet = true;
    loop {
        let read = match tokio::time::timeout(QUIET, reader.fill_buf()).await {
            Ok(chunk) => {
                let chunk = chunk?;
                lines.push(chunk, &mut on_line);
                chunk.len()
            }
            Err(_) => {
                if !quiet {
                    lines.pause(&mut on_line);
                    on_line(Line::Quiet);
                    quiet = true;
                }
                continue;
            }
        };
        if read == 0 {
            lines.end(&mut on_line);
            return Ok(());
        }
        reader.consume(read);
        quiet = false;
    }
}

/// Makes lines out of pieces of output: a newline ends a line, and a carriage return lets the next text replace it.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: Vec<u8>,
    /// A carriage return came after `open`.
    returned: bool,
    /// `open` was passed on as an update.
    told: bool,
}

impl Lines {
    pub(crate) fn push(&mut self, mut piece: &[u8], on_line: &mut impl FnMut(Line<'_>)) {
        while let Some(&first) = piece.first() {
            match first {
                b'\n' => self.end_line(on_line),
                b'\r' => self.returned = true,
                _ => {
                    if self.returned {
                        self.pause(on_line);
                        self.clear();
                    }
                    let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                    let room = MAX_LINE - self.open.len();
                    let (text, rest) = piece.split_at(end.unwrap_or(piece.len()).min(room));
                    self.open.extend_from_slice(text);
                    if self.open.len() == MAX_LINE {
                        self.end_line(on_line);
                    }
                    piece = rest;
                    continue;
                }
            }
            piece = &piece[1..];
        }
    }

    /// Passes on a line that is going to be replaced.
    pub(crate) fn pause(&mut self, on_line: &mut impl FnMut(Line<'_>)) {
        if !self.returned || self.told {
            return;
        }
        let text = String::from_utf8_lossy(&self.open);
        if !text.trim().is_empty() {
            on_line(Line::Update(text.trim_end()));
            self.told = true;
        }
    }

    /// Passes on the last line, although no newline ends it.
    pub(crate) fn end(&mut self, on_line: &mut impl FnMut(Line<'_>)) {
        if !self.open.is_empty() {
            self.end_line(on_line);
        }
    }

    fn end_line(&mut self, on_line: &mut impl FnMut(Line<'_>)) {
        on_line(Line::Text(&String::from_utf8_lossy(&self.open)));
        self.clear();
    }

    fn clear(&mut self) {
        self.open.clear();
        self.returned = false;
        self.told = false;
    }
}

/// The last lines of an output.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn push(&mut self, line: &str) {
        let kept = &line[..line.floor_char_boundary(MAX_TAIL_LINE)];
        let mark = if kept.len() < line.len() { "…" } else { "" };
        let line = format!("{kept}{mark}");
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > MAX_TAIL {
            let Some(first) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= first.len() + 1;
        }
    }

    pub(crate) fn text(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of an output that comes in pieces; between two of them the command pauses.
    fn events(pieces: &[&str]) -> Vec<String> {
        let mut told = Vec::new();
        let mut lines = Lines::default();
        let mut on_line = |line: Line<'_>| match line {
            Line::Text(text) => told.push(text.to_owned()),
            Line::Update(text) => told.push(format!("~{text}")),
            Line::Quiet => {}
        };
        for piece in pieces {
            lines.push(piece.as_bytes(), &mut on_line);
            lines.pause(&mut on_line);
        }
        lines.end(&mut on_line);
        told
    }

    #[test]
    fn a_line_that_is_written_again_is_told_once_and_its_states_are_updates() {
        for (pieces, expected) in [
            (&["one\ntwo"][..], &["one", "two"][..]),
            (&["one\r\n\r\ntwo\r\n"], &["one", "", "two"]),
            (&["one\r", "\n"], &["~one", "one"]),
            (&["1%\r2%\r3%, done.\n"], &["~1%", "~2%", "3%, done."]),
            (&["1%  \r", "2%  \r", "3%\n"], &["~1%", "~2%", "3%"]),
            (&["1%\r2%\r"], &["~1%", "~2%", "2%"]),
            (&["\r1%\r2%"], &["~1%", "2%"]),
            (&["1%\r   \rdone\n"], &["~1%", "done"]),
            (&["half", " a line\n"], &["half a line"]),
            (&["1", "0%\rfatal: no\n"], &["~10%", "fatal: no"]),
        ] {
            assert_eq!(events(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_does_not_grow_without_limit() {
        let mut lengths = Vec::new();
        let mut lines = Lines::default();
        let piece = "x".repeat(MAX_LINE + 7);
        lines.push(piece.as_bytes(), &mut |line| {
            if let Line::Text(text) = line {
                lengths.push(text.len());
            }
        });
        assert_eq!(lengths, [MAX_LINE]);
        assert_eq!(lines.open.len(), 7);
    }
}
