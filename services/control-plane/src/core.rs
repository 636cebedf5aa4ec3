use std::{future::Future, sync::Arc, time::Duration};

use hearth_runtime::{Metrics, Tasks};
use tokio::sync::oneshot;

use crate::{
    agents::Agents,
    cache::{images::Images, retention::Retention, waiting::Waiting},
    cache_target::CacheRules,
    credentials::Credentials,
    deletion::Deletions,
    drivers::Drivers,
    error::CallError,
    feeds::Feeds,
    fleet::Fleet,
    journal::Journal,
    metrics::Counters,
    sessions::Sessions,
    store::Store,
};

/// What the services of the control plane share.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Journal,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) fleet: Fleet,
    pub(crate) sessions: Sessions,
    pub(crate) credentials: Arc<Credentials>,
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

/// What the control plane was told and does not have to open.
pub(crate) struct Settings {
    pub(crate) cache_rules: CacheRules,
    pub(crate) cache_lease: Duration,
    pub(crate) retention: Retention,
    /// Seconds without a heartbeat after which a node counts as lost.
    pub(crate) lease_seconds: u32,
}

impl Core {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        fleet: Fleet,
        sessions: Sessions,
        credentials: Credentials,
        settings: Settings,
        tasks: Tasks,
        metrics: &Metrics,
    ) -> Self {
        let feeds = Arc::new(Feeds::default());
        let counters = Arc::new(Counters::register(metrics));
        let cache_rules = Arc::new(settings.cache_rules);
        let waiting = Arc::new(Waiting::new(settings.cache_lease));
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
            retention: settings.retention,
            store,
            feeds,
            fleet,
            sessions,
            credentials: Arc::new(credentials),
            agents: Agents::default(),
            drivers: Drivers::default(),
            deletions: Deletions::default(),
            counters,
            cache_rules,
            lease_seconds: settings.lease_seconds,
            tasks,
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
