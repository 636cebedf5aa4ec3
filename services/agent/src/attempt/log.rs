use std::{collections::BTreeMap, time::SystemTime};

use hearth_api::v1::{Event, WorkspaceState, event::Kind};
use hearth_runtime::events::{cut, is_progress};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;

/// Most bytes of output and other progress that a log keeps. Other events are kept: an attempt has some hundred of them, of
/// some hundred bytes each.
const MAX_OUTPUT_BYTES: usize = 8 * 1024 * 1024;
/// Most bytes of those others. Only warnings can be more, when a repository causes one after the other: further ones are left
/// out.
const MAX_RESULT_BYTES: usize = 1024 * 1024;
/// What an event needs beside what is in it.
const ENTRY_BYTES: usize = 256;
/// Most events that a watcher gets at a time, so that a large log is never copied at once.
const BATCH: usize = 128;

/// The events of one attempt, numbered from 1. Output may be dropped, oldest first; all other events are kept.
#[derive(Debug)]
pub struct AttemptLog {
    attempt: u32,
    entries: Mutex<Entries>,
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entries {
    by_sequence: BTreeMap<u64, Entry>,
    last: u64,
    output_bytes: usize,
    result_bytes: usize,
    output_lines: u64,
    /// It was READY or RECOVERY.
    ready: bool,
    settled: bool,
}

#[derive(Debug)]
struct Entry {
    event: Event,
    /// Bytes that dropping it frees; `None` for an event that is kept.
    droppable: Option<usize>,
    /// Lines of output before it, since the attempt began.
    lines_before: u64,
}

/// Some events, in order of their sequence.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// Lines of output up to the end of these events, for the next call of [`AttemptLog::after`].
    pub lines_seen: Option<u64>,
    /// The last of them settled the attempt.
    pub complete: bool,
}

impl AttemptLog {
    /// An empty log.
    pub fn new(attempt: u32) -> Self {
        Self {
            attempt,
            entries: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }

    /// Appends an event. Events after `settled` are ignored.
    pub fn append(&self, mut kind: Kind) {
        cut(&mut kind);
        let mut entries = self.entries.lock();
        let is_warning = matches!(kind, Kind::Warning(_));
        if entries.settled || is_warning && entries.result_bytes > MAX_RESULT_BYTES {
            return;
        }
        let bytes = ENTRY_BYTES + kind.encoded_len();
        let droppable = is_progress(&kind).then_some(bytes);
        if droppable.is_none() {
            entries.result_bytes += bytes;
        }
        let lines = match &kind {
            Kind::Log(chunk) => chunk.text.lines().count() as u64,
            _ => 0,
        };
        entries.settled = matches!(kind, Kind::Settled(_));
        entries.ready |= matches!(&kind, Kind::StateChanged(change)
            if matches!(change.state(), WorkspaceState::Ready | WorkspaceState::Recovery));
        entries.last += 1;
        let sequence = entries.last;
        let entry = Entry {
            event: Event {
                sequence,
                attempt: self.attempt,
                time: Some(SystemTime::now().into()),
                kind: Some(kind),
            },
            droppable,
            lines_before: entries.output_lines,
        };
        entries.by_sequence.insert(sequence, entry);
        entries.output_lines += lines;
        entries.output_bytes += droppable.unwrap_or_default();
        entries.drop_old_output();
        drop(entries);
        self.last.send_replace(sequence);
    }

    /// The events after the sequence `after`. `lines_seen` is that of the batch before, `None` for the first batch: the
    /// next chunk of output then carries the number of lines that were dropped in between.
    pub fn after(&self, after: u64, lines_seen: Option<u64>) -> Batch {
        let entries = self.entries.lock();
        let mut batch = Batch {
            // A reader that begins in the middle did not miss the lines before.
            lines_seen: lines_seen.or((after == 0).then_some(0)),
            ..Batch::default()
        };
        for (_, entry) in entries.by_sequence.range(after + 1..).take(BATCH) {
            let mut event = entry.event.clone();
            if let Some(Kind::Log(chunk)) = &mut event.kind {
                if let Some(seen) = batch.lines_seen {
                    chunk.dropped_lines = entry.lines_before.saturating_sub(seen);
                }
                let own = chunk.text.lines().count() as u64;
                batch.lines_seen = Some(entry.lines_before + own);
            }
            batch.events.push(event);
        }
        let reached = batch.events.last().map_or(after, |event| event.sequence);
        batch.complete = entries.settled && reached >= entries.last;
        batch
    }

    /// Notifies of every appended event; the value is its sequence.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// Bytes of all events, as they are sent.
    pub(super) fn bytes(&self) -> usize {
        let entries = self.entries.lock();
        let events = entries.by_sequence.values().map(|entry| &entry.event);
        events.map(Message::encoded_len).sum()
    }

    /// Drops the events that only show progress. What is left has some KiB.
    pub(super) fn keep_outcome(&self) {
        let mut entries = self.entries.lock();
        entries
            .by_sequence
            .retain(|_, entry| entry.droppable.is_none());
        entries.output_bytes = 0;
    }

    /// Whether the workspace is not ready yet, and may become so.
    pub fn is_preparing(&self) -> bool {
        let entries = self.entries.lock();
        !entries.ready && !entries.settled
    }

    /// Whether `settled` was appended.
    pub fn is_settled(&self) -> bool {
        self.entries.lock().settled
    }
}

impl Entries {
    fn drop_old_output(&mut self) {
        if self.output_bytes <= MAX_OUTPUT_BYTES {
            return;
        }
        // Half of it is dropped at once: a flood of output must not walk over all events for every line.
        let mut excess = self.output_bytes - MAX_OUTPUT_BYTES / 2;
        self.by_sequence.retain(|_, entry| match entry.droppable {
            Some(bytes) if excess > 0 => {
                excess = excess.saturating_sub(bytes);
                self.output_bytes -= bytes;
                false
            }
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{Cloned, LogChunk, Settled};

    use super::*;

    fn output(log: &AttemptLog, text: &str) {
        log.append(Kind::Log(LogChunk {
            text: text.to_owned(),
            ..LogChunk::default()
        }));
    }

    fn read_all(log: &AttemptLog, mut after: u64) -> Vec<Event> {
        let (mut events, mut lines) = (Vec::new(), None);
        loop {
            let batch = log.after(after, lines);
            lines = batch.lines_seen;
            after = batch.events.last().map_or(after, |event| event.sequence);
            let done = batch.events.is_empty() || batch.complete;
            events.extend(batch.events);
            if done {
                return events;
            }
        }
    }

    #[test]
    fn a_flood_of_output_drops_the_oldest_output_counts_it_and_keeps_every_state() {
        let log = AttemptLog::new(1);
        let line = "x".repeat(1023) + "\n";
        let chunk = line.repeat(32);
        for number in 0..1000 {
            log.append(Kind::Cloned(Cloned {
                commit: number.to_string(),
            }));
            output(&log, &chunk);
        }
        log.append(Kind::Settled(Settled {}));
        assert!(log.entries.lock().output_bytes <= MAX_OUTPUT_BYTES);
        let events = read_all(&log, 0);
        let states: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.kind {
                Some(Kind::Cloned(cloned)) => Some(cloned.commit.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(states, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
        let (mut kept, mut dropped) = (0, 0);
        for event in &events {
            if let Some(Kind::Log(chunk)) = &event.kind {
                kept += chunk.text.lines().count() as u64;
                dropped += chunk.dropped_lines;
            }
        }
        assert_eq!(kept + dropped, 32_000);
        assert!(dropped > 0);
        assert!(events.is_sorted_by_key(|event| event.sequence));
    }

    #[test]
    fn whatever_a_repository_causes_a_log_is_bounded_and_its_end_is_kept() {
        use hearth_api::v1::{BuildStep, Warning};
        let text = "x".repeat(1_000_000);
        for (make, count) in [
            (
                (|text| Kind::Warning(Warning { message: text })) as fn(String) -> Kind,
                1000,
            ),
            (
                |text| {
                    Kind::BuildStep(BuildStep {
                        name: text,
                        ..BuildStep::default()
                    })
                },
                1000,
            ),
            (|_| Kind::Log(LogChunk::default()), 100_000),
        ] {
            let log = AttemptLog::new(1);
            for _ in 0..count {
                log.append(make(text.clone()));
            }
            log.append(Kind::Cloned(Cloned::default()));
            log.append(Kind::Settled(Settled {}));
            let entries = log.entries.lock().by_sequence.len();
            let bytes = log.bytes() + entries * ENTRY_BYTES;
            let most = MAX_OUTPUT_BYTES + MAX_RESULT_BYTES + 100_000;
            assert!(bytes < most, "{bytes}");
            let events = read_all(&log, 0);
            assert!(matches!(
                events[events.len() - 2..],
                [
                    Event {
                        kind: Some(Kind::Cloned(_)),
                        ..
                    },
                    Event {
                        kind: Some(Kind::Settled(_)),
                        ..
                    }
                ]
            ));
        }
    }

    #[test]
    fn nothing_follows_the_last_event() {
        let log = AttemptLog::new(3);
        output(&log, "a");
        assert!(!log.after(0, None).complete);
        log.append(Kind::Settled(Settled {}));
        output(&log, "late");
        let batch = log.after(0, None);
        assert_eq!((batch.events.len(), batch.complete), (2, true));
        assert!(log.after(2, None).complete);
        assert!(batch.events.iter().all(|event| event.attempt == 3));
    }

    #[tokio::test]
    async fn a_watcher_that_looks_before_it_waits_misses_nothing() {
        let log = AttemptLog::new(1);
        let mut changes = log.changes();
        output(&log, "a");
        changes.changed().await.unwrap();
        assert_eq!(*changes.borrow_and_update(), 1);
    }
}
