use hearth_api::v1::{
    AgentServicePrepareWorkspaceRequest, CacheAccess, CacheSkipReason, CacheTarget,
};
use hearth_domain::Digest;
use hearth_runtime::contract;

use super::driving::Driving;
use crate::{
    cache::{CacheUse, too_slow},
    node::NodeView,
    record::Record,
    store::{Store, StoreError},
};

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
        default_images,
        cache_mounts,
        ..
    } = with;
    let repository = &record.spec.repository;
    let trusted = rules.writers.allow(&record.spec.git_ref);
    let progress = &record.progress;
    let cache = match progress.no_cache {
        true => Err(CacheSkipReason::Rebuild),
        false => rules.cache_use(&record.spec),
    };
    let (cache, skip) = match cache {
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
        keep_clone: progress.keeps_clone,
        no_cache: progress.no_cache,
        default_image: default_images.of(repository).unwrap_or_default().to_owned(),
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
    let newest = newest(record, &cache, node, store).await;
    // The cache never holds up a workspace: without an image to prefetch it is prepared all the same.
    let newest = newest.unwrap_or_else(|error| {
        tracing::error!(workspace.id = %record.id, %error, "cannot read which image to prefetch");
        None
    });
    CacheTarget {
        repository: cache.reference.repository().to_string(),
        tag: cache.reference.tag().to_owned(),
        access: access.into(),
        newest_digest: newest.map_or_else(String::new, |digest| digest.to_string()),
    }
}

/// The newest image, unless fetching it is expected to take longer than building.
async fn newest(
    record: &Record,
    cache: &CacheUse,
    node: &NodeView,
    store: &dyn Store,
) -> Result<Option<Digest>, StoreError> {
    let (repository, config) = (cache.reference.repository(), record.spec.config.as_ref());
    let newest = store.newest_cache_entry(repository, config, &node.platform);
    let Some(newest) = newest.await? else {
        return Ok(None);
    };
    let rate = store.fetch_rate(&node.name).await?;
    let rate = rate.map(|rate| rate.bytes_per_second);
    let slow = too_slow(newest.bytes, newest.build_seconds, rate).is_some();
    Ok((!slow).then_some(newest.digest))
}
