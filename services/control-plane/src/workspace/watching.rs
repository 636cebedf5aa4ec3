use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, stream::try_unfold};
use hearth_api::v1::{Event, Workspace};
use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;
use tokio::sync::watch;

use super::feeds::Feeds;
use crate::{error::CallError, record::Record, store::Store};

/// Events read at once. With 64 KiB each it bounds what one watcher holds in memory to 8 MiB.
const PAGE: u32 = 128;

/// The logs of workspaces, for those who follow them.
pub(crate) struct Watching {
    store: Arc<dyn Store>,
    feeds: Arc<Feeds>,
    tasks: Tasks,
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Ready,
    Settled,
}

/// One reader of a workspace's log.
pub(crate) struct Watcher {
    watching: Arc<Watching>,
    id: WorkspaceId,
    /// Sequence of the event that was sent last.
    cursor: u64,
    until: Until,
    news: watch::Receiver<u64>,
    pending: VecDeque<Event>,
}

/// Where the reading begins.
pub(crate) enum Begin {
    /// With the oldest event that is kept.
    Oldest,
    /// After this one; it is a fault when what follows is not kept any more.
    After(u64),
    /// After the newest one.
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

    /// Begins to read; returns the workspace as it is now.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        id: &WorkspaceId,
        from: Begin,
        until: Until,
    ) -> Result<(Workspace, Watcher), CallError> {
        // Before the read, so that what is written after it wakes the watcher.
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
    /// The events, to where the stream ends.
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

/// Sequence of the event that the stream ends with, once it is there.
fn end(record: &Record, until: Until) -> Option<u64> {
    let progress = &record.progress;
    let sequence = match until {
        Until::Ready => progress.ready_sequence,
        Until::Settled => progress.settled_sequence,
    };
    (sequence > 0).then_some(sequence)
}
