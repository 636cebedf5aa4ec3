use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, stream::try_unfold};
use hearth_api::v1::{Event, Workspace};
use tokio::sync::watch;

use super::validate::Until;
use crate::{core::Core, error::CallError, record::Record};

/// Events read at once. With 64 KiB each it bounds what one watcher holds in memory to 8 MiB.
const PAGE: u32 = 128;

/// One reader of a workspace's log.
pub(super) struct Watcher {
    core: Arc<Core>,
    id: String,
    /// Sequence of the event that was sent last.
    cursor: u64,
    until: Until,
    news: watch::Receiver<u64>,
    pending: VecDeque<Event>,
}

/// Where the reading begins.
pub(super) enum From {
    /// With the oldest event that is kept.
    Oldest,
    /// After this one; it is a fault when what follows is not kept any more.
    After(u64),
    /// After the newest one.
    Snapshot,
}

impl Watcher {
    /// Begins to read; returns the workspace as it is now.
    pub(super) async fn begin(
        core: &Arc<Core>,
        id: &str,
        from: From,
        until: Until,
    ) -> Result<(Workspace, Self), CallError> {
        // Before the read, so that what is written after it wakes the watcher.
        let news = core.feeds.subscribe(id);
        let page = core.store.events(id, u64::MAX, 0).await?;
        let page = page.ok_or_else(|| CallError::WorkspaceUnknown(id.to_owned()))?;
        let workspace = page.record.workspace;
        let watcher = Self {
            core: core.clone(),
            id: id.to_owned(),
            cursor: match from {
                From::Oldest => page.oldest.saturating_sub(1),
                From::After(cursor) if cursor.saturating_add(1) < page.oldest => {
                    return Err(CallError::Trimmed {
                        oldest: page.oldest,
                    });
                }
                From::After(cursor) => cursor,
                From::Snapshot => workspace.last_sequence,
            },
            until,
            news,
            pending: VecDeque::new(),
        };
        Ok((workspace, watcher))
    }

    /// The events, to where the stream ends.
    pub(super) fn events(self) -> impl Stream<Item = Result<Event, CallError>> {
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
            let page = self.core.store.events(&self.id, self.cursor, PAGE).await?;
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
                    () = self.core.tasks.stopping().cancelled() => return Err(CallError::ShuttingDown),
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
