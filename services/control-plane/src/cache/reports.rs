use hearth_api::v1::{CacheReport, CacheResult};

use super::worth;
use crate::{
    cache_target::CacheRules,
    record::Record,
    store::{Decided, Store, StoreError},
};

/// Takes from an attempt's report what the cache can learn: its numbers, and how fast the node fetches.
pub(crate) async fn learn(
    store: &dyn Store,
    rules: &CacheRules,
    record: &Record,
    report: &CacheReport,
) -> Result<(), StoreError> {
    let workspace = &record.workspace;
    let spec = workspace.spec.clone().unwrap_or_default();
    let repository = rules
        .reference(&spec.repository, &spec.config)
        .map(|reference| reference.repository().to_string())
        .unwrap_or_default();
    let exact = report.result() == CacheResult::Exact;
    let mut saved = 0.0;
    if exact {
        let lookup = store.lookup(&workspace.id, workspace.attempt).await?;
        let entry = lookup
            .filter(|lookup| lookup.decided == Decided::Hit)
            .and_then(|lookup| lookup.entry);
        // An adopted image does not tell how long its build took.
        if let Some(entry) = entry.filter(|entry| entry.build_seconds > 0.0) {
            saved = entry.build_seconds - report.seconds;
        }
        if let Some(rate) = worth::rate(report.bytes_fetched, report.seconds) {
            store.note_fetch(&workspace.node, rate).await?;
        }
    }
    store
        .count_cache_result(&repository, report.result(), saved)
        .await
}
