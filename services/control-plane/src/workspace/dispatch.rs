use hearth_api::v1::{
    AgentServicePrepareWorkspaceRequest, CacheAccess, CacheSkipReason, CacheTarget,
};
use hearth_runtime::contract;

use crate::{
    cache::{CacheRules, CacheUse, too_slow},
    node::NodeView,
    record::Record,
    store::{Store, StoreError},
};

/// The request to `node`'s agent to prepare the workspace, or to resume its events after `after`.
pub(super) async fn request(
    record: &Record,
    node: &NodeView,
    after: u64,
    rules: &CacheRules,
    store: &dyn Store,
) -> Result<AgentServicePrepareWorkspaceRequest, StoreError> {
    let (cache, skip) = match rules.cache_use(&record.spec) {
        Ok(cache) => {
            let target = target(record, cache, node, store).await?;
            (Some(target), CacheSkipReason::Unspecified)
        }
        Err(skip) => (None, skip),
    };
    Ok(AgentServicePrepareWorkspaceRequest {
        attempt: Some(contract::attempt_message(&record.attempt())),
        spec: record.workspace.spec.clone(),
        cache,
        cache_skip_reason: skip.into(),
        after_sequence: after,
    })
}

/// Where the cache is, with the image to prefetch while the repository is cloned.
async fn target(
    record: &Record,
    cache: CacheUse,
    node: &NodeView,
    store: &dyn Store,
) -> Result<CacheTarget, StoreError> {
    let access = match cache.writable {
        true => CacheAccess::ReadWrite,
        false => CacheAccess::ReadOnly,
    };
    let mut target = CacheTarget {
        repository: cache.reference.repository().to_string(),
        tag: cache.reference.tag().to_owned(),
        access: access.into(),
        newest_digest: String::new(),
    };
    let config = record.spec.config.as_ref();
    let newest = store
        .newest_cache_entry(cache.reference.repository(), config, &node.platform)
        .await?;
    if let Some(newest) = newest {
        let rate = store.fetch_rate(&node.name).await?;
        if too_slow(newest.bytes, newest.build_seconds, rate).is_none() {
            target.newest_digest = newest.digest.to_string();
        }
    }
    Ok(target)
}
