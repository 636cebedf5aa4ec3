use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hearth_api::v1::{LogChunk, PipelineStep, event::Kind};
use hearth_domain::text::printable_lines;
use parking_lot::Mutex;

use super::log::AttemptLog;
use crate::external::process::{Line, Tail};

/// How long output is collected into one event: a fast build makes few events, and a slow one is still seen live.
const COLLECT: Duration = Duration::from_millis(200);
/// Most bytes of output in one event.
const MAX_CHUNK: usize = 32 * 1024;

/// Collects lines of output into events. Dropping it writes the rest.
pub struct OutputSink {
    log: Arc<AttemptLog>,
    step: PipelineStep,
    text: String,
    since: Instant,
    tail: Arc<Mutex<Tail>>,
}

impl OutputSink {
    /// Collects the output of `step` for `log`, and its last lines in `tail`.
    pub(crate) fn new(log: Arc<AttemptLog>, step: PipelineStep, tail: Arc<Mutex<Tail>>) -> Self {
        Self {
            log,
            step,
            text: String::new(),
            since: Instant::now(),
            tail,
        }
    }

    /// Adds what a command printed.
    pub fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Text(text) => self.line(text),
            Line::Quiet => self.flush(),
        }
    }

    /// Adds a line, without its newline; terminal escapes are removed.
    pub fn line(&mut self, line: &str) {
        let line = without_escapes(line);
        self.tail.lock().push(&line);
        if !self.text.is_empty() && self.text.len() + line.len() >= MAX_CHUNK {
            self.flush();
        }
        if self.text.is_empty() {
            self.since = Instant::now();
        } else {
            self.text.push('\n');
        }
        self.text
            .push_str(&line[..line.floor_char_boundary(MAX_CHUNK)]);
        if self.since.elapsed() >= COLLECT {
            self.flush();
        }
    }

    /// Writes the collected lines as one event.
    pub fn flush(&mut self) {
        if !self.text.is_empty() {
            self.log.append(Kind::Log(LogChunk {
                step: self.step.into(),
                text: std::mem::take(&mut self.text),
                dropped_lines: 0,
            }));
        }
    }
}

impl Drop for OutputSink {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A line of output, safe to show in a terminal. A carriage return in it becomes a blank.
pub(crate) fn without_escapes(line: &str) -> String {
    printable_lines(line)
        .replace('\n', " ")
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &AttemptLog) -> Vec<String> {
        log.after(0, None)
            .events
            .into_iter()
            .filter_map(|event| match event.kind {
                Some(Kind::Log(chunk)) => Some(chunk.text),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn lines_are_collected_into_few_events_and_none_is_lost() {
        let log = Arc::new(AttemptLog::new(1));
        let mut sink = OutputSink::new(log.clone(), PipelineStep::Image, Arc::default());
        for number in 0..5000 {
            sink.line(&format!("line {number}"));
        }
        drop(sink);
        let texts = texts(&log);
        assert!(texts.len() < 20, "{}", texts.len());
        assert!(texts.iter().all(|text| text.len() <= MAX_CHUNK));
        let lines: Vec<_> = texts.iter().flat_map(|text| text.lines()).collect();
        assert_eq!(lines.len(), 5000);
        assert_eq!(lines[4999], "line 4999");
    }

    #[test]
    fn escapes_do_not_reach_the_log() {
        assert_eq!(
            without_escapes("\u{1b}[1m\u{1b}[31mred\u{1b}[0m\tx\u{7}\r"),
            "red\tx"
        );
        assert_eq!(without_escapes("\u{1b}]0;title\u{7}"), "");
    }
}
