use std::sync::Arc;

use hearth_api::v1::{Event, event::Kind};
use hearth_domain::{AttemptRef, WorkspaceId};

use super::feeds::Feeds;
use crate::{
    cache::{Reports, Waiting},
    clock::now,
    metrics::Counters,
    record::{Ending, LifeChange, Rebuilding, Record},
    store::{Change, Once, Placement, RequestId, Store, StoreError},
};

/// Every change of a workspace goes through here: it is stored and counted, and its watchers and the attempts that wait
/// for its image are notified.
pub(crate) struct Journal {
    store: Arc<dyn Store>,
    feeds: Arc<Feeds>,
    counters: Arc<Counters>,
    waiting: Arc<Waiting>,
    reports: Reports,
    /// Makes the next end of an attempt, and the next deletion, panic.
    #[cfg(test)]
    pub(super) panics: std::sync::atomic::AtomicBool,
}

impl Journal {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        feeds: Arc<Feeds>,
        counters: Arc<Counters>,
        waiting: Arc<Waiting>,
        reports: Reports,
    ) -> Self {
        Self {
            store,
            feeds,
            counters,
            waiting,
            reports,
            #[cfg(test)]
            panics: false.into(),
        }
    }

    pub(crate) async fn create(
        &self,
        record: Record,
        request: Option<RequestId>,
        placement: Placement<'_>,
    ) -> Result<Once, StoreError> {
        self.store.create(record, request, placement).await
    }

    /// Places an attempt that never began on another node; `None` when there is none.
    pub(crate) async fn move_on(
        &self,
        attempt: &AttemptRef,
        why: &str,
        placement: Placement<'_>,
    ) -> Result<Option<Record>, StoreError> {
        let moved = self.store.move_on(attempt, why, placement, now()).await?;
        Ok(moved.map(|change| {
            self.tell(&change);
            change.record
        }))
    }

    pub(crate) async fn begin_attempt(
        &self,
        id: &WorkspaceId,
        request: Option<RequestId>,
        how: Rebuilding,
    ) -> Result<Once, StoreError> {
        let once = self.store.begin_attempt(id, request, how, now()).await?;
        if let Once::New(change) = &once {
            self.tell(change);
        }
        Ok(once)
    }

    pub(crate) async fn append(
        &self,
        attempt: &AttemptRef,
        events: Vec<Event>,
    ) -> Result<Record, StoreError> {
        let change = self.store.append(attempt, events, now()).await?;
        self.tell(&change);
        for entry in &change.entries {
            if let Some(Kind::Cache(report)) = &entry.event.kind {
                let learnt = self.reports.learn(&change.record, report);
                // The event is stored. A missing number does not fail the attempt.
                if let Err(error) = learnt.await {
                    tracing::error!(workspace.id = %attempt.workspace, %error, "cannot count what the cache did");
                }
            }
        }
        Ok(change.record)
    }

    /// Appends a warning of the control plane to an attempt's log.
    pub(crate) async fn note(&self, attempt: &AttemptRef, warning: &str) -> Result<(), StoreError> {
        let change = self.store.note(attempt, warning, now()).await?;
        self.tell(&change);
        Ok(())
    }

    pub(crate) async fn end(
        &self,
        attempt: &AttemptRef,
        ending: &Ending,
    ) -> Result<(), StoreError> {
        #[cfg(test)]
        self.panic_once();
        let change = self.store.end(attempt, ending, now()).await?;
        self.tell(&change);
        Ok(())
    }

    /// Makes a change in the life of a workspace, of this attempt if one is named.
    pub(crate) async fn live(
        &self,
        id: &WorkspaceId,
        attempt: Option<u32>,
        change: LifeChange,
    ) -> Result<Record, StoreError> {
        let change = self.store.live(id, attempt, change, now()).await?;
        self.tell(&change);
        Ok(change.record)
    }

    pub(crate) async fn begin_delete(&self, id: &WorkspaceId) -> Result<Record, StoreError> {
        #[cfg(test)]
        self.panic_once();
        let change = self.store.begin_delete(id, now()).await?;
        self.tell(&change);
        Ok(change.record)
    }

    pub(crate) async fn forget(&self, id: &WorkspaceId) -> Result<(), StoreError> {
        self.store.forget(id).await?;
        self.waiting.forgotten(id);
        self.feeds.publish(id);
        Ok(())
    }

    fn tell(&self, change: &Change) {
        self.counters.appended(change);
        self.waiting.grown(change);
        self.feeds.publish(&change.record.id);
    }

    #[cfg(test)]
    fn panic_once(&self) {
        let panics = self.panics.swap(false, std::sync::atomic::Ordering::SeqCst);
        assert!(!panics, "a planted bug");
    }
}
