use std::sync::Arc;

use hearth_api::v1::{CacheReport, CacheResult};

use super::{
    cost::{learnt, rate},
    rules::CacheRules,
};
use crate::{
    record::Record,
    store::{Decided, Store, StoreError},
};

/// What the cache learns from the reports of attempts.
pub(crate) struct Reports {
    store: Arc<dyn Store>,
    rules: Arc<CacheRules>,
}

impl Reports {
    pub(crate) fn new(store: Arc<dyn Store>, rules: Arc<CacheRules>) -> Self {
        Self { store, rules }
    }

    /// Takes from an attempt's report what the cache can learn: its numbers, and how fast the node fetches.
    pub(crate) async fn learn(
        &self,
        record: &Record,
        report: &CacheReport,
    ) -> Result<(), StoreError> {
        let store = &self.store;
        let workspace = &record.workspace;
        let repository = self
            .rules
            .reference(&record.spec.repository, record.spec.config.as_ref())
            .map(|reference| reference.repository().clone());
        let exact = report.result() == CacheResult::Exact;
        let mut saved = 0.0;
        if exact {
            let lookups = store.lookups(&record.attempt()).await?;
            let hits = lookups
                .into_iter()
                .filter(|lookup| lookup.decided == Decided::Hit);
            let builds = hits.filter_map(|lookup| Some(lookup.entry?.build_seconds));
            // An adopted image does not tell how long its build took.
            let built: f64 = builds.filter(|seconds| *seconds > 0.0).sum();
            if built > 0.0 {
                saved = built - report.seconds;
            }
            if let Some(rate) = rate(report.bytes_fetched, report.seconds) {
                let known = store.fetch_rate(&workspace.node).await?;
                let rate = learnt(known, rate);
                store.put_fetch_rate(&workspace.node, rate).await?;
            }
        }
        store
            .count_cache_result(repository.as_ref(), report.result(), saved)
            .await
    }
}
