use std::{sync::Arc, time::Duration};

use prost_types::Timestamp;
use tokio::time::MissedTickBehavior;

use super::logins::RegistryLogins;
use crate::{clock::now, core::Core};

const HOURLY: Duration = Duration::from_secs(3600);
const DAY_SECONDS: i64 = 24 * 3600;

/// How much of the cache is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Entries of each repository, configuration and platform.
    pub(crate) entries: u32,
    /// Days since an entry was last used.
    pub(crate) days: u32,
}

/// Drops what is too old or too much from the index, and its images in the background.
pub(crate) async fn retire(core: &Arc<Core>) {
    let Retention { entries, days } = core.retention;
    let now = now();
    let since = Timestamp {
        seconds: now.seconds - i64::from(days) * DAY_SECONDS,
        nanos: now.nanos,
    };
    let retired = match core.store.retire_cache_entries(entries, since).await {
        Ok(retired) if retired.is_empty() => return,
        Ok(retired) => retired,
        // Whatever went before has succeeded, and the next hour tries again.
        Err(error) => return tracing::error!(%error, "cannot drop old cache entries"),
    };
    tracing::info!(
        entries = retired.len(),
        "cache entries dropped: too old or too many"
    );
    let core = core.clone();
    core.clone().tasks.spawn("delete images", async move {
        let registry = RegistryLogins::new(&core);
        tokio::select! {
            () = core.tasks.stopping().cancelled() => {}
            deleted = core.images.delete(&*core.store, &registry, &retired) => {
                if let Err(error) = deleted {
                    tracing::error!(%error, "cannot tell whether images are still in use; they stay");
                }
            }
        }
    });
}

/// Retires every hour, for repositories that nobody commits to any more.
pub(crate) async fn retire_hourly(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(HOURLY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.tasks.stopping().cancelled() => return,
            _ = ticks.tick() => {}
        }
        retire(&core).await;
    }
}
