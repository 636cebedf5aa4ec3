use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hearth_api::v1::{self, PipelineStep, event::Kind};

use super::{log::AttemptLog, output::without_escapes};
use crate::{external::process::Line, mask::Mask};

/// Shortest time between two events of an activity, its beginning and its end left aside.
const INTERVAL: Duration = Duration::from_millis(400);
/// Most bytes of a name or a detail, as the contract says: they are shown on one line of a terminal.
const MAX_TEXT: usize = 256;

/// Something that goes on within a step, for display: a hook, the fetch of a base image. It begins when it is made and
/// ends when it is dropped.
pub struct Activity {
    log: Arc<AttemptLog>,
    message: v1::Activity,
    told: Instant,
    changed: bool,
    mask: Mask,
}

impl Activity {
    pub(super) fn begin(log: Arc<AttemptLog>, step: PipelineStep, name: &str, mask: Mask) -> Self {
        let activity = Self {
            log,
            message: v1::Activity {
                step: step.into(),
                name: text(name),
                ..v1::Activity::default()
            },
            told: Instant::now(),
            changed: false,
            mask,
        };
        activity
            .log
            .append(Kind::Activity(activity.message.clone()));
        activity
    }

    /// Takes what its command printed: the last line is what it does now.
    pub fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Text(line) | Line::Update(line) => self.detail(line),
            Line::Quiet => self.tell(),
        }
    }

    /// Says what it does now.
    pub fn detail(&mut self, detail: &str) {
        let detail = text(&self.mask.of(&without_escapes(detail)));
        // An empty line does not say more than the one before it.
        if !detail.is_empty() {
            self.message.detail = detail;
            self.change();
        }
    }

    /// Says how far it is. A total of zero is not known.
    pub fn bytes(&mut self, done: u64, total: u64) {
        self.message.bytes_done = done;
        self.message.bytes_total = total;
        self.change();
    }

    fn change(&mut self) {
        self.changed = true;
        if self.told.elapsed() >= INTERVAL {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.told = Instant::now();
            self.log.append(Kind::Activity(self.message.clone()));
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.message.finished = true;
        self.log
            .append(Kind::Activity(std::mem::take(&mut self.message)));
    }
}

fn text(from_outside: &str) -> String {
    let line = without_escapes(from_outside);
    let line = line.trim();
    line[..line.floor_char_boundary(MAX_TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the activities of a log said: detail, bytes done, finished.
    fn said(log: &AttemptLog) -> Vec<(String, u64, bool)> {
        let events = log.after(0, None).events;
        events
            .into_iter()
            .filter_map(|event| match event.kind {
                Some(Kind::Activity(told)) => Some((told.detail, told.bytes_done, told.finished)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn an_activity_tells_its_beginning_its_last_line_when_it_is_quiet_and_its_end() {
        let log = Arc::new(AttemptLog::new(1));
        let step = PipelineStep::Container;
        let mut activity = Activity::begin(log.clone(), step, "postCreateCommand", Mask::default());
        assert_eq!(said(&log), [(String::new(), 0, false)]);
        activity.take(Line::Text("one"));
        activity.take(Line::Text("\u{1b}[32mtwo"));
        activity.take(Line::Text(""));
        activity.take(Line::Quiet);
        assert_eq!(said(&log).last(), Some(&("two".into(), 0, false)));
        activity.bytes(7, 9);
        drop(activity);
        assert_eq!(said(&log).last(), Some(&("two".into(), 7, true)));
    }

    #[test]
    fn a_flood_of_lines_makes_few_events_with_short_texts() {
        let log = Arc::new(AttemptLog::new(1));
        let mut activity =
            Activity::begin(log.clone(), PipelineStep::Image, "noise", Mask::default());
        for _ in 0..5000 {
            activity.take(Line::Text(&"ä".repeat(500)));
        }
        drop(activity);
        let said = said(&log);
        assert!(said.len() < 500, "{}", said.len());
        assert!(said.iter().all(|(detail, ..)| detail.len() <= MAX_TEXT));
    }
}
