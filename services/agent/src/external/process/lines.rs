use std::{collections::VecDeque, time::Duration};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// A command that prints nothing for this long is quiet.
const QUIET: Duration = Duration::from_millis(200);
/// Longest line that is not split, in bytes.
const MAX_LINE: usize = 2 * 1024 * 1024;
/// Most of a command's output that is kept for a failure, in bytes.
pub(super) const MAX_TAIL: usize = 8 * 1024;

/// An event on a command's stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without its newline.
    Text(&'a str),
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
    let mut line = Vec::new();
    let mut quiet = true;
    loop {
        let room = (MAX_LINE - line.len()) as u64;
        let mut limited = (&mut reader).take(room);
        let read = limited.read_until(b'\n', &mut line);
        // A part of a line that was read before the timeout stays in `line`.
        let ended = match tokio::time::timeout(QUIET, read).await {
            Ok(read) => read? == 0,
            Err(_) => {
                if !quiet {
                    on_line(Line::Quiet);
                    quiet = true;
                }
                continue;
            }
        };
        if !line.is_empty() {
            let text = String::from_utf8_lossy(&line);
            on_line(Line::Text(text.trim_end_matches(['\n', '\r'])));
            quiet = false;
            line.clear();
        }
        if ended {
            return Ok(());
        }
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
        let line = &line[..line.floor_char_boundary(MAX_TAIL / 4)];
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
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
