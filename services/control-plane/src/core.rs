use std::{future::Future, sync::Arc, time::Duration};

use hearth_runtime::{Metrics, Tasks};
use tokio::sync::oneshot;

use crate::{
    agents::Agents,
    cache::{images::Images, retention::Retention, waiting::Waiting},
    cache_target::CacheRules,
    deletion::Deletions,
    drivers::Drivers,
    error::CallError,
    feeds::Feeds,
    fleet::Fleet,
    journal::Journal,
    metrics::Counters,
    store::Store,
};

/// What the services of the control plane share.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Journal,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) fleet: Fleet,
    pub(crate) agents: Agents,
    pub(crate) drivers: Drivers,
    pub(crate) deletions: Deletions,
    pub(crate) counters: Arc<Counters>,
    pub(crate) cache_rules: Arc<CacheRules>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) images: Images,
    pub(crate) retention: Retention,
    pub(crate) lease_seconds: u32,
    pub(crate) tasks: Tasks,
}

impl Core {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        fleet: Fleet,
        cache_rules: CacheRules,
        lease_seconds: u32,
        cache_lease: Duration,
        retention: Retention,
        metrics: &Metrics,
    ) -> Self {
        let feeds = Arc::new(Feeds::default());
        let counters = Arc::new(Counters::register(metrics));
        let cache_rules = Arc::new(cache_rules);
        let waiting = Arc::new(Waiting::new(cache_lease));
        Self {
            journal: Journal::new(
                store.clone(),
                feeds.clone(),
                counters.clone(),
                waiting.clone(),
                cache_rules.clone(),
            ),
            waiting,
            images: Images::default(),
            retention,
            store,
            feeds,
            fleet,
            agents: Agents::default(),
            drivers: Drivers::default(),
            deletions: Deletions::default(),
            counters,
            cache_rules,
            lease_seconds,
            tasks: Tasks::default(),
        }
    }

    /// Runs work that must not stop half-way because the client went away: a dropped call drops its handler.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, CallError>> + Send + 'static,
    ) -> Result<T, CallError> {
        let (done, result) = oneshot::channel();
        self.tasks.spawn(name, async move {
            // Nobody may be there any more to hear it.
            let _ = done.send(work.await);
        });
        result.await.unwrap_or(Err(CallError::ShuttingDown))
    }
}
