use std::sync::Arc;

use futures_util::{
    StreamExt as _,
    stream::{self, Stream},
};
use hearth_api::v1::Event;
use tokio::sync::watch;

use super::log::AttemptLog;

struct Reader {
    log: Arc<AttemptLog>,
    changes: watch::Receiver<u64>,
    after: u64,
    lines_seen: Option<u64>,
    complete: bool,
}

/// The events of a log after the sequence `after`, as they are appended, up to the one that settles the attempt.
pub fn follow(log: Arc<AttemptLog>, after: u64) -> impl Stream<Item = Event> + Send {
    let reader = Reader {
        changes: log.changes(),
        log,
        after,
        lines_seen: None,
        complete: false,
    };
    stream::unfold(reader, next_batch).flat_map(stream::iter)
}

async fn next_batch(mut reader: Reader) -> Option<(Vec<Event>, Reader)> {
    while !reader.complete {
        reader.changes.mark_unchanged();
        let batch = reader.log.after(reader.after, reader.lines_seen);
        reader.complete = batch.complete;
        if let Some(last) = batch.events.last() {
            reader.after = last.sequence;
            reader.lines_seen = batch.lines_seen;
            return Some((batch.events, reader));
        }
        // It fails when the sender is gone, which the log of this reader holds.
        if !reader.complete && reader.changes.changed().await.is_err() {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{Cloned, Settled, event::Kind};

    use super::*;

    #[tokio::test]
    async fn a_watcher_gets_what_was_and_what_comes_and_the_stream_ends_with_the_attempt() {
        let log = Arc::new(AttemptLog::new(1));
        log.append(Kind::Cloned(Cloned::default()));
        let mut events = std::pin::pin!(follow(log.clone(), 0));
        let sequence = |event: Option<Event>| event.map(|event| event.sequence);
        assert_eq!(sequence(events.next().await), Some(1));
        let (next, ()) = tokio::join!(events.next(), async {
            tokio::task::yield_now().await;
            log.append(Kind::Settled(Settled {}));
        });
        assert_eq!(sequence(next), Some(2));
        assert_eq!(sequence(events.next().await), None);
        let again: Vec<_> = follow(log, 1).collect().await;
        assert_eq!(again.len(), 1);
    }
}
