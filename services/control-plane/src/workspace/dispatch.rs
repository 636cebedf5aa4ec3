use hearth_api::v1::{
    AgentServicePrepareWorkspaceRequest, CacheAccess, CacheSkipReason, CacheTarget, ServiceImage,
};
use hearth_runtime::contract;

use super::driving::Driving;
use crate::{
    cache::{CacheUse, too_slow},
    node::NodeView,
    record::Record,
    store::{Entry, Store, StoreError},
};

/// Most services whose images are prefetched.
const MAX_SERVICES: u32 = 20;

/// The request to `node`'s agent to prepare the workspace, or to resume its events after `after`.
pub(super) async fn request(
    with: &Driving,
    record: &Record,
    node: &NodeView,
    after: u64,
) -> AgentServicePrepareWorkspaceRequest {
    let Driving {
        store,
        rules,
        host_access,
        cache_mounts,
        ..
    } = with;
    let repository = &record.spec.repository;
    let trusted = rules.writers.allow(&record.spec.git_ref);
    let (cache, skip) = match rules.cache_use(&record.spec) {
        Ok(cache) => {
            let target = target(record, cache, node, &**store).await;
            (Some(target), CacheSkipReason::Unspecified)
        }
        Err(skip) => (None, skip),
    };
    AgentServicePrepareWorkspaceRequest {
        attempt: Some(contract::attempt_message(&record.attempt())),
        spec: record.workspace.spec.clone(),
        cache,
        cache_skip_reason: skip.into(),
        after_sequence: after,
        trusted,
        host_access: host_access.of(repository).into(),
        cache_mounts: cache_mounts.of(repository, trusted),
        control_plane_id: store.identity().to_owned(),
    }
}

/// Where the cache is, with the image to prefetch while the repository is cloned.
async fn target(
    record: &Record,
    cache: CacheUse,
    node: &NodeView,
    store: &dyn Store,
) -> CacheTarget {
    let access = match cache.writable {
        true => CacheAccess::ReadWrite,
        false => CacheAccess::ReadOnly,
    };
    // The cache never holds up a workspace: without an image to prefetch it is prepared all the same.
    let newest = newest(record, &cache, node, store).await;
    let newest = newest.unwrap_or_else(|error| {
        tracing::error!(workspace.id = %record.id, %error, "cannot read which images to prefetch");
        Vec::new()
    });
    let digest_of = |entry: &Entry| entry.digest.to_string();
    let (own, services): (Vec<_>, Vec<_>) =
        newest.iter().partition(|entry| entry.service.is_none());
    CacheTarget {
        repository: cache.reference.repository().to_string(),
        tag: cache.reference.tag().to_owned(),
        access: access.into(),
        newest_digest: own
            .first()
            .map(|entry| digest_of(entry))
            .unwrap_or_default(),
        newest_of_services: services
            .into_iter()
            .map(|entry| ServiceImage {
                service: entry.service_text().to_owned(),
                digest: digest_of(entry),
            })
            .collect(),
    }
}

/// The newest images, without those that are expected to take longer to fetch than to build.
async fn newest(
    record: &Record,
    cache: &CacheUse,
    node: &NodeView,
    store: &dyn Store,
) -> Result<Vec<Entry>, StoreError> {
    let (repository, config) = (cache.reference.repository(), record.spec.config.as_ref());
    let own = store.newest_cache_entry(repository, config, None, &node.platform);
    let own = own.await?;
    let services = store.newest_of_services(repository, config, &node.platform, MAX_SERVICES);
    let services = services.await?;
    let rate = store.fetch_rate(&node.name).await?;
    let rate = rate.map(|rate| rate.bytes_per_second);
    let is_quick = |entry: &Entry| too_slow(entry.bytes, entry.build_seconds, rate).is_none();
    Ok(own.into_iter().chain(services).filter(is_quick).collect())
}
