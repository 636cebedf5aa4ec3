use std::{sync::Arc, time::Duration};

use futures_util::{Stream, stream::try_unfold};
use hearth_api::v1::{Event, Workspace};
use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;
use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    feeds::Feeds,
    streams::{Stream as Slot, Streams},
};
use crate::{
    detached::detached,
    error::CallError,
    record::Record,
    store::{Page, PageLimit, Store},
};

/// What a watcher reads at once, and holds until its client takes it.
const PAGE: PageLimit = PageLimit {
    items: 128,
    bytes: 128 * 1024,
};
/// For the record alone.
const NO_EVENTS: PageLimit = PageLimit { items: 0, bytes: 0 };
/// How often it is looked for streams that nobody reads.
const UNREAD_PERIOD: Duration = Duration::from_secs(30);

/// Reads the logs of workspaces for watchers.
pub(crate) struct Watching {
    store: Arc<dyn Store>,
    feeds: Arc<Feeds>,
    streams: Streams,
    tasks: Tasks,
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Ready,
    Hooks,
    Settled,
    Deleted,
}

/// One reader of a workspace's log.
pub(crate) struct Watcher {
    watching: Arc<Watching>,
    id: WorkspaceId,
    /// Sequence of the newest event that was sent.
    cursor: u64,
    /// Sequence from which on the log had no gaps when the watcher began with its oldest event; else 0.
    whole_from: u64,
    until: Until,
    news: watch::Receiver<u64>,
    slot: Slot,
}

/// Where a watcher begins.
pub(crate) enum Begin {
    /// With the oldest stored event. Output may be missing between the first ones.
    Oldest,
    /// After this sequence; fails if the events after it were trimmed.
    After(u64),
    /// After the newest event.
    Snapshot,
}

impl Watching {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        feeds: Arc<Feeds>,
        max_streams: u32,
        tasks: Tasks,
    ) -> Self {
        Self {
            store,
            feeds,
            streams: Streams::new(max_streams),
            tasks,
        }
    }

    /// Takes one of the streams that may be open: for this client, where clients prove who they are.
    pub(crate) fn open(&self, by: Option<String>) -> Result<Slot, CallError> {
        self.streams.open(by)
    }

    /// Ends streams that nobody reads, until the process stops.
    pub(crate) async fn end_unread(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(UNREAD_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.tasks.stopping().cancelled() => return,
                _ = ticks.tick() => self.streams.end_unread(),
            }
        }
    }

    /// Begins to watch; returns the workspace as of now.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        slot: Slot,
        id: &WorkspaceId,
        from: Begin,
        until: Until,
    ) -> Result<(Workspace, Watcher), CallError> {
        // Before the read, so that a later write wakes the watcher.
        let news = self.feeds.subscribe(id);
        let page = self.store.events(id, u64::MAX, NO_EVENTS).await?;
        let page = page.ok_or_else(|| CallError::WorkspaceUnknown(id.clone()))?;
        let workspace = page.record.workspace;
        let watcher = Watcher {
            watching: self.clone(),
            id: id.clone(),
            whole_from: match from {
                Begin::Oldest => page.oldest,
                Begin::After(_) | Begin::Snapshot => 0,
            },
            cursor: match from {
                Begin::Oldest => 0,
                Begin::After(cursor) if cursor.saturating_add(1) < page.oldest => {
                    return Err(CallError::Trimmed {
                        oldest: page.oldest,
                    });
                }
                Begin::After(cursor) => cursor,
                Begin::Snapshot => workspace.last_sequence,
            },
            until,
            news,
            slot,
        };
        Ok((workspace, watcher))
    }
}

impl Watcher {
    /// The events up to the end of the stream.
    pub(crate) fn events(self) -> impl Stream<Item = Result<Event, CallError>> {
        try_unfold(self, |mut watcher| async move {
            Ok(watcher.next().await?.map(|event| (event, watcher)))
        })
    }

    async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            if let Some(event) = self.slot.take()? {
                self.cursor = event.sequence;
                return Ok(Some(event));
            }
            self.news.borrow_and_update();
            // What is read counts as held, in case that nobody takes it.
            self.slot.hold(Vec::new());
            let page = self.read().await?;
            // Deleted: the stream ends.
            let Some(page) = page else {
                return Ok(None);
            };
            let end = end(&page.record, self.until);
            if end.is_some_and(|end| end <= self.cursor) {
                return Ok(None);
            }
            if self.cursor.saturating_add(1).max(self.whole_from) < page.oldest {
                return Err(CallError::Trimmed {
                    oldest: page.oldest,
                });
            }
            let mut events = page.events;
            events.retain(|event| end.is_none_or(|end| event.sequence <= end));
            if !events.is_empty() {
                self.slot.hold(events);
                continue;
            }
            self.slot.wait();
            tokio::select! {
                () = self.watching.tasks.stopping().cancelled() => return Err(CallError::ShuttingDown),
                _ = self.news.changed() => {}
            }
        }
    }

    /// Reads the next page to the end, whether the client takes what it has or not: a stream that is not read is not worked on,
    /// and in the middle of a question to the database it would keep a connection that others wait for.
    async fn read(&self) -> Result<Option<Page>, CallError> {
        let (store, id, cursor) = (self.watching.store.clone(), self.id.clone(), self.cursor);
        let read = async move { Ok(store.events(&id, cursor, PAGE).await?) };
        detached(&self.watching.tasks, "read events", read).await
    }
}

/// Sequence of the event that ends the stream, once it is stored.
fn end(record: &Record, until: Until) -> Option<u64> {
    let progress = &record.progress;
    let sequence = match until {
        Until::Ready => progress.ready_sequence,
        Until::Hooks => progress.hooks_sequence,
        // What has become of it since is in its log, too.
        Until::Settled if progress.settled_sequence > 0 => record.workspace.last_sequence,
        Until::Settled => 0,
        Until::Deleted => 0,
    };
    (sequence > 0).then_some(sequence)
}
