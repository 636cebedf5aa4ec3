use serde::Deserialize;

use crate::{
    external::process::{Line, Lines, MAX_LINE, OnLine, Tail},
    mask::{Mask, MaskedLines},
};

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

/// Longest line of a crash that is for people: the CLI's program has lines of many thousands of bytes.
const MAX_CRASH_LINE: usize = 1024;

/// Whether Node.js tells an error in this line, such as `RangeError: Invalid string length`.
fn is_error(line: &str) -> bool {
    let name = line.split_once(": ").map(|(name, _)| name);
    name.is_some_and(|name| name == "FATAL ERROR" || name.ends_with("Error") && !name.contains(' '))
}

/// Joins the pieces of output in the CLI's log to lines.
pub(crate) struct LogLines<'a> {
    on_line: OnLine<'a>,
    lines: Lines,
    masked: MaskedLines,
    tail: Tail,
    crash: Option<String>,
}

/// What a command printed.
pub(crate) struct Printed {
    /// The last lines.
    pub tail: String,
    /// The error by which the CLI itself ended.
    pub crash: Option<String>,
}

impl<'a> LogLines<'a> {
    pub(crate) fn new(on_line: OnLine<'a>) -> Self {
        Self {
            on_line,
            lines: Lines::default(),
            masked: MaskedLines::default(),
            tail: Tail::default(),
            crash: None,
        }
    }

    /// The same, without secrets in it.
    pub(crate) fn masked(self, mask: Mask) -> Self {
        Self {
            masked: MaskedLines::new(mask),
            ..self
        }
    }

    pub(crate) fn take(&mut self, line: Line<'_>) {
        let line = match line {
            Line::Text(line) => line,
            // The CLI itself replaces no lines; what it runs does, within the JSON.
            Line::Update(_) => return,
            Line::Quiet => {
                let (lines, mut pass_on) = self.parts();
                lines.pause(&mut pass_on);
                return pass_on(Line::Quiet);
            }
        };
        match serde_json::from_str::<LogEvent>(line) {
            Ok(event) if event.kind == "raw" => self.piece(&event.text),
            Ok(event) if event.kind == "text" && event.level >= LEVEL_INFO => {
                self.piece(&event.text);
                self.end_line();
            }
            Ok(_) => {}
            // A crash of the CLI itself is not JSON. Its stack trace is left out, and the line of its program.
            Err(_) if line.trim_start().starts_with("at ") || line.len() > MAX_CRASH_LINE => {}
            Err(_) => {
                if is_error(line) {
                    self.crash = Some(line.to_owned());
                }
                self.piece(line);
                self.end_line();
            }
        }
    }

    fn piece(&mut self, text: &str) {
        let (lines, mut pass_on) = self.parts();
        lines.push(text.as_bytes(), &mut pass_on);
    }

    /// Ends the last line.
    pub(crate) fn finish(mut self) -> Printed {
        self.end_line();
        Printed {
            tail: self.tail.text(),
            crash: self.crash,
        }
    }

    fn end_line(&mut self) {
        let (lines, mut pass_on) = self.parts();
        lines.end(&mut pass_on);
    }

    /// The lines, and what is done with each of them.
    fn parts(&mut self) -> (&mut Lines, impl FnMut(Line<'_>)) {
        let (tail, on_line) = (&mut self.tail, &mut self.on_line);
        let masked = &mut self.masked;
        let pass_on = move |line: Line<'_>| match line {
            Line::Text(text) => {
                let text = masked.line(text, text.len() >= MAX_LINE);
                if !text.trim().is_empty() {
                    tail.push(&text);
                    on_line(Line::Text(&text));
                }
            }
            Line::Update(text) => on_line(Line::Update(&masked.update(text))),
            Line::Quiet => on_line(Line::Quiet),
        };
        (&mut self.lines, pass_on)
    }
}
