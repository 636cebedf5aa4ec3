use serde::Deserialize;

use crate::external::process::{Line, OnLine, Tail};

/// Longest line of output that is kept whole, in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// A line of the CLI's log on stderr (`--log-format json`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogEvent {
    #[serde(rename = "type")]
    kind: String,
    level: u32,
    text: String,
}

/// The CLI's level for messages to people. Those of lower levels are about the CLI itself.
const LEVEL_INFO: u32 = 3;

/// Joins the pieces of output in the CLI's log to lines.
pub(super) struct LogLines<'a> {
    on_line: OnLine<'a>,
    open: String,
    tail: Tail,
}

impl<'a> LogLines<'a> {
    pub(super) fn new(on_line: OnLine<'a>) -> Self {
        Self {
            on_line,
            open: String::new(),
            tail: Tail::default(),
        }
    }

    pub(super) fn take(&mut self, line: Line<'_>) {
        let Line::Text(line) = line else {
            (self.on_line)(Line::Quiet);
            return;
        };
        match serde_json::from_str::<LogEvent>(line) {
            Ok(event) if event.kind == "raw" => self.piece(&event.text),
            Ok(event) if event.kind == "text" && event.level >= LEVEL_INFO => {
                self.piece(&event.text);
                self.end_line();
            }
            Ok(_) => {}
            // A crash of the CLI itself is not JSON. Its stack trace is left out.
            Err(_) if line.trim_start().starts_with("at ") => {}
            Err(_) => {
                self.piece(line);
                self.end_line();
            }
        }
    }

    fn piece(&mut self, text: &str) {
        for part in text.split_inclusive('\n') {
            let room = MAX_LINE.saturating_sub(self.open.len());
            let mut end = part.len().min(room);
            while !part.is_char_boundary(end) {
                end -= 1;
            }
            self.open.push_str(&part[..end]);
            if part.ends_with('\n') {
                self.end_line();
            }
        }
    }

    /// Ends the last line, and returns the last lines.
    pub(super) fn finish(mut self) -> String {
        self.end_line();
        self.tail.text()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.open);
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.trim().is_empty() {
            self.tail.push(line);
            (self.on_line)(Line::Text(line));
        }
    }
}
