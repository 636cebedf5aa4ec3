use std::{sync::Arc, time::Duration};

use hearth_runtime::Tasks;
use tokio::time::MissedTickBehavior;

use super::images::Images;
use crate::{clock::days_long, store::Store};

const HOURLY: Duration = Duration::from_secs(3600);

/// How much of the cache is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Entries of each repository, configuration and platform, beside those in use.
    pub(crate) entries: u32,
    /// Days since an entry was last used, by the time that the control plane has run.
    pub(crate) days: u32,
}

/// Drops what is not used any more or too much from the index, and its images from the registry.
pub(crate) struct Retention {
    keep: Keep,
    store: Arc<dyn Store>,
    images: Arc<Images>,
    tasks: Tasks,
}

impl Retention {
    pub(crate) fn new(
        keep: Keep,
        store: Arc<dyn Store>,
        images: Arc<Images>,
        tasks: Tasks,
    ) -> Self {
        Self {
            keep,
            store,
            images,
            tasks,
        }
    }

    /// Drops entries now, and their images in the background.
    pub(crate) async fn retire(&self) {
        let Keep { entries, days } = self.keep;
        let unused_for = days_long(days);
        let retired = match self.store.retire_cache_entries(entries, unused_for).await {
            Ok(retired) if retired.is_empty() => return,
            Ok(retired) => retired,
            // The commit before this has succeeded, and the next hour tries again.
            Err(error) => return tracing::error!(%error, "cannot drop old cache entries"),
        };
        tracing::info!(
            entries = retired.len(),
            "cache entries dropped: not used, or too many"
        );
        let (images, stopping) = (self.images.clone(), self.tasks.stopping().clone());
        self.tasks.spawn("delete images", async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                deleted = images.delete(&retired) => {
                    if let Err(error) = deleted {
                        tracing::error!(%error, "cannot tell whether images are still in use; they stay");
                    }
                }
            }
        });
    }

    /// Retires every hour: also for repositories that get no new entries.
    pub(crate) async fn hourly(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(HOURLY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.tasks.stopping().cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.retire().await;
        }
    }
}
