use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, stream::try_unfold};
use hearth_api::v1::{Event, Workspace};
use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;
use tokio::sync::watch;

use super::feeds::Feeds;
use crate::{error::CallError, record::Record, store::Store};

/// Events read at once; with 64 KiB each, a watcher holds at most 8 MiB.
const PAGE: u32 = 128;

/// Reads the logs of workspaces for watchers.
pub(crate) struct Watching {
    store: Arc<dyn Store>,
    feeds: Arc<Feeds>,
    tasks: Tasks,
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Ready,
    Hooks,
    Settled,
}

/// One reader of a workspace's log.
pub(crate) struct Watcher {
    watching: Arc<Watching>,
    id: WorkspaceId,
    /// Sequence of the newest event that was sent.
    cursor: u64,
    until: Until,
    news: watch::Receiver<u64>,
    pending: VecDeque<Event>,
}

/// Where a watcher begins.
pub(crate) enum Begin {
    /// With the oldest stored event.
    Oldest,
    /// After this sequence; fails if the events after it were trimmed.
    After(u64),
    /// After the newest event.
    Snapshot,
}

impl Watching {
    pub(crate) fn new(store: Arc<dyn Store>, feeds: Arc<Feeds>, tasks: Tasks) -> Self {
        Self {
            store,
            feeds,
            tasks,
        }
    }

    /// Begins to watch; returns the workspace as of now.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        id: &WorkspaceId,
        from: Begin,
        until: Until,
    ) -> Result<(Workspace, Watcher), CallError> {
        // Before the read, so that a later write wakes the watcher.
        let news = self.feeds.subscribe(id);
        let page = self.store.events(id, u64::MAX, 0).await?;
        let page = page.ok_or_else(|| CallError::WorkspaceUnknown(id.clone()))?;
        let workspace = page.record.workspace;
        let watcher = Watcher {
            watching: self.clone(),
            id: id.clone(),
            cursor: match from {
                Begin::Oldest => page.oldest.saturating_sub(1),
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
            pending: VecDeque::new(),
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
            if let Some(event) = self.pending.pop_front() {
                self.cursor = event.sequence;
                return Ok(Some(event));
            }
            self.news.borrow_and_update();
            let page = self
                .watching
                .store
                .events(&self.id, self.cursor, PAGE)
                .await?;
            // Deleted: the stream ends.
            let Some(page) = page else {
                return Ok(None);
            };
            let end = end(&page.record, self.until);
            if end.is_some_and(|end| end <= self.cursor) {
                return Ok(None);
            }
            if self.cursor.saturating_add(1) < page.oldest {
                return Err(CallError::Trimmed {
                    oldest: page.oldest,
                });
            }
            self.pending = page.events.into();
            if let Some(end) = end {
                self.pending.retain(|event| event.sequence <= end);
            }
            if self.pending.is_empty() {
                tokio::select! {
                    () = self.watching.tasks.stopping().cancelled() => return Err(CallError::ShuttingDown),
                    _ = self.news.changed() => {}
                }
            }
        }
    }
}

/// Sequence of the event that ends the stream, once it is stored.
fn end(record: &Record, until: Until) -> Option<u64> {
    let progress = &record.progress;
    let sequence = match until {
        Until::Ready => progress.ready_sequence,
        Until::Hooks => progress.hooks_sequence,
        Until::Settled => progress.settled_sequence,
    };
    (sequence > 0).then_some(sequence)
}
