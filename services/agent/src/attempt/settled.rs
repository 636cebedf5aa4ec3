use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::log::AttemptLog;

/// Most settled attempts of a node whose logs are kept whole.
const MAX_WHOLE_LOGS: usize = 32;
/// Most bytes that those logs have together.
const MAX_WHOLE_BYTES: usize = 64 * 1024 * 1024;

/// The whole logs of settled attempts, in the order in which they settled. The control plane resumes their streams after
/// it was away.
///
/// When there are too many, the oldest keep only the events that tell the outcome, some KiB each: as long as the
/// workspace exists, the control plane can learn how its newest attempt ended.
#[derive(Debug, Default)]
pub(super) struct SettledLogs(Mutex<VecDeque<Settled>>);

#[derive(Debug)]
struct Settled {
    /// Gone when the workspace was deleted or has a newer attempt.
    log: Weak<AttemptLog>,
    bytes: usize,
}

impl SettledLogs {
    /// Adds the log of an attempt that has settled.
    pub(super) fn add(&self, log: &Arc<AttemptLog>) {
        let mut logs = self.0.lock();
        logs.retain(|settled| settled.log.strong_count() > 0);
        logs.push_back(Settled {
            log: Arc::downgrade(log),
            bytes: log.bytes(),
        });
        let mut bytes: usize = logs.iter().map(|settled| settled.bytes).sum();
        while logs.len() > MAX_WHOLE_LOGS || bytes > MAX_WHOLE_BYTES {
            let Some(oldest) = logs.pop_front() else {
                break;
            };
            bytes -= oldest.bytes;
            if let Some(log) = oldest.log.upgrade() {
                log.keep_outcome();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{LogChunk, PushReport, Settled, event::Kind};

    use super::*;

    /// The log of an attempt that printed so many chunks of output.
    fn settled(chunks: usize, text: &str) -> Arc<AttemptLog> {
        let log = AttemptLog::new(1);
        for _ in 0..chunks {
            log.append(Kind::Log(LogChunk {
                text: text.to_owned(),
                ..LogChunk::default()
            }));
        }
        log.append(Kind::Push(PushReport::default()));
        log.append(Kind::Settled(Settled {}));
        Arc::new(log)
    }

    fn is_whole(log: &Arc<AttemptLog>) -> bool {
        let batch = log.after(0, None);
        let [.., push, end] = &batch.events[..] else {
            panic!("{batch:?}");
        };
        assert!(
            batch.complete && push.sequence + 1 == end.sequence,
            "{batch:?}"
        );
        batch.events.len() > 2
    }

    /// Adds as many logs and returns how many of them are whole then; those must be the newest.
    fn whole_of(count: usize, chunks: usize, text: &str) -> usize {
        let settled_logs = SettledLogs::default();
        let logs: Vec<_> = (0..count).map(|_| settled(chunks, text)).collect();
        for log in &logs {
            settled_logs.add(log);
        }
        let whole = logs.iter().filter(|log| is_whole(log)).count();
        assert!(logs[count - whole..].iter().all(is_whole));
        whole
    }

    #[test]
    fn the_oldest_of_many_settled_logs_keep_only_the_outcome() {
        assert_eq!(whole_of(MAX_WHOLE_LOGS + 3, 1, "few words"), MAX_WHOLE_LOGS);
    }

    #[test]
    fn settled_logs_do_not_outgrow_their_bytes() {
        let chunk = "x".repeat(65_000);
        assert_eq!(whole_of(11, 120, &chunk), 8);
    }

    #[test]
    fn logs_of_deleted_workspaces_do_not_count() {
        let settled_logs = SettledLogs::default();
        let first = settled(1, "first");
        settled_logs.add(&first);
        for _ in 0..2 * MAX_WHOLE_LOGS {
            settled_logs.add(&settled(1, "deleted at once"));
        }
        assert!(is_whole(&first));
    }
}
