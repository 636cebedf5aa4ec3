use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hearth_api::v1::{LogChunk, PipelineStep, event::Kind};
use hearth_domain::text::printable_lines;
use parking_lot::Mutex;

use super::log::AttemptLog;
use crate::{
    build_log::BuildLog,
    external::process::{Line, Tail},
    mask::Mask,
};

/// How long output is collected into one event: a fast build makes few events, and a slow one is still seen live.
const COLLECT: Duration = Duration::from_millis(200);
/// Shortest time between two states of a line that a command writes again and again, and as a part of the time for which
/// that goes on: a progress bar is seen moving, and leaves few lines in the log.
const UPDATE_PAUSE: Duration = Duration::from_secs(1);
const UPDATE_PART: u32 = 10;
/// Most bytes of output in one event.
const MAX_CHUNK: usize = 32 * 1024;

/// Collects lines of output into events. Dropping it writes the rest.
pub struct OutputSink {
    log: Arc<AttemptLog>,
    step: PipelineStep,
    text: String,
    since: Instant,
    tail: Arc<Mutex<Tail>>,
    updates: Option<Updates>,
    copy: Option<Arc<BuildLog>>,
    mask: Mask,
}

/// The states of one line so far.
#[derive(Debug)]
struct Updates {
    began: Instant,
    told: Instant,
}

impl OutputSink {
    /// Collects the output of `step` for `log`, and its last lines in `tail`.
    pub(crate) fn new(
        log: Arc<AttemptLog>,
        step: PipelineStep,
        tail: Arc<Mutex<Tail>>,
        mask: Mask,
    ) -> Self {
        Self {
            log,
            step,
            text: String::new(),
            since: Instant::now(),
            tail,
            updates: None,
            copy: None,
            mask,
        }
    }

    /// Adds all lines to the log of a build, too.
    pub fn copied_to(mut self, log: Arc<BuildLog>) -> Self {
        self.copy = Some(log);
        self
    }

    /// Adds what a command printed.
    pub fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Text(text) => {
                self.updates = None;
                self.line(text);
            }
            Line::Update(text) => {
                let now = Instant::now();
                if self.updates.get_or_insert(Updates::begin(now)).is_due(now) {
                    self.line(text);
                    self.flush();
                }
            }
            Line::Quiet => self.flush(),
        }
    }

    /// Adds a line, without its newline; terminal escapes are removed.
    pub fn line(&mut self, line: &str) {
        let line = without_escapes(line);
        let line = self.mask.of(&line);
        self.tail.lock().push(&line);
        if let Some(copy) = &self.copy {
            copy.line(&line);
        }
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

impl Updates {
    fn begin(now: Instant) -> Self {
        Self {
            began: now,
            told: now,
        }
    }

    /// Whether the state at `now` is told; it counts as told then.
    fn is_due(&mut self, now: Instant) -> bool {
        let pause = UPDATE_PAUSE.max((now - self.began) / UPDATE_PART);
        let due = now - self.told >= pause;
        if due {
            self.told = now;
        }
        due
    }
}

impl Drop for OutputSink {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A line of output, safe to show in a terminal.
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
        let mut sink = OutputSink::new(
            log.clone(),
            PipelineStep::Image,
            Arc::default(),
            Mask::default(),
        );
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
    fn of_a_line_that_is_written_again_the_log_has_the_last_state() {
        let log = Arc::new(AttemptLog::new(1));
        let mut sink = OutputSink::new(
            log.clone(),
            PipelineStep::Clone,
            Arc::default(),
            Mask::default(),
        );
        for percent in 0..100 {
            sink.take(Line::Update(&format!("Receiving objects: {percent}%")));
        }
        sink.take(Line::Text("Receiving objects: 100%, done."));
        drop(sink);
        assert_eq!(texts(&log), ["Receiving objects: 100%, done."]);
    }

    #[test]
    fn a_progress_bar_is_seen_moving_and_leaves_few_lines() {
        let start = Instant::now();
        let mut updates = Updates::begin(start);
        // Ten states a second, for ten minutes.
        let told: Vec<u64> = (0..6000)
            .map(|number| number * 100)
            .filter(|at| updates.is_due(start + Duration::from_millis(*at)))
            .collect();
        assert_eq!(told[..3], [1000, 2000, 3000]);
        assert!(told.len() < 60, "{}", told.len());
        assert!(told.windows(2).all(|two| two[1] - two[0] <= 61_000));
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
