use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream, TryReadyChunksError},
};
use hearth_api::v1::{
    AgentServicePrepareWorkspaceRequest, AgentServiceStartWorkspaceRequest, CacheAccess,
    CacheSkipReason, CacheTarget, Event, ServiceImage,
    agent_service_prepare_workspace_response as prepare,
    agent_service_start_workspace_response as start,
};
use hearth_runtime::contract;
use tonic::{Status, Streaming};

use super::driving::Driving;
use crate::{
    cache::{CacheUse, too_slow},
    node::{AgentClient, NodeView},
    record::Record,
    store::{Entry, Store, StoreError},
};

/// Most services whose images are prefetched.
const MAX_SERVICES: u32 = 20;
/// Events stored in one transaction; with 64 KiB each, a driver holds at most 16 MiB.
const BATCH: usize = 256;

/// An open stream of an agent: events, in batches, and the failure that it broke with.
pub(super) type Events = BoxStream<'static, Result<Vec<Event>, Status>>;

/// The call of an agent that its newest attempt needs.
pub(super) enum Call {
    Prepare(Box<AgentServicePrepareWorkspaceRequest>),
    Start(Box<AgentServiceStartWorkspaceRequest>),
}

impl Call {
    /// Makes it; returns the boot id of the agent that has accepted the attempt, and its events.
    pub(super) async fn make(self, mut client: AgentClient) -> Result<(String, Events), Status> {
        let (accepted, events) = match self {
            Self::Prepare(request) => {
                let mut stream = client.prepare_workspace(*request).await?.into_inner();
                let accepted = match stream.message().await?.and_then(|first| first.message) {
                    Some(prepare::Message::Accepted(accepted)) => Some(accepted),
                    _ => None,
                };
                let events = batches(stream, |response| match response.message {
                    Some(prepare::Message::Event(event)) => Some(event),
                    Some(prepare::Message::Accepted(_)) | None => None,
                });
                (accepted, events)
            }
            Self::Start(request) => {
                let mut stream = client.start_workspace(*request).await?.into_inner();
                let accepted = match stream.message().await?.and_then(|first| first.message) {
                    Some(start::Message::Accepted(accepted)) => Some(accepted),
                    _ => None,
                };
                let events = batches(stream, |response| match response.message {
                    Some(start::Message::Event(event)) => Some(event),
                    Some(start::Message::Accepted(_)) | None => None,
                });
                (accepted, events)
            }
        };
        let accepted =
            accepted.ok_or_else(|| Status::unknown("the agent's first message accepts nothing"))?;
        Ok((accepted.boot_id, events))
    }
}

/// The events of a stream, in batches of those that have arrived. Events before a failure come before it.
fn batches<T: Send + 'static>(
    stream: Streaming<T>,
    event: impl Fn(T) -> Option<Event> + Send + 'static,
) -> Events {
    let events = stream.try_filter_map(move |response| {
        let event = event(response);
        async move { Ok(event) }
    });
    let batches = events.try_ready_chunks(BATCH).flat_map(|batch| {
        stream::iter(match batch {
            Ok(events) => vec![Ok(events)],
            Err(TryReadyChunksError(events, status)) if events.is_empty() => vec![Err(status)],
            Err(TryReadyChunksError(events, status)) => vec![Ok(events), Err(status)],
        })
    });
    batches.boxed()
}

/// The call of `node`'s agent to prepare the workspace or to start it, or to resume its events after `after`.
pub(super) async fn request(with: &Driving, record: &Record, node: &NodeView, after: u64) -> Call {
    match record.progress.start {
        true => Call::Start(Box::new(start_request(with, record, after))),
        false => Call::Prepare(Box::new(prepare_request(with, record, node, after).await)),
    }
}

fn start_request(with: &Driving, record: &Record, after: u64) -> AgentServiceStartWorkspaceRequest {
    let workspace = &record.workspace;
    AgentServiceStartWorkspaceRequest {
        attempt: Some(contract::attempt_message(&record.attempt())),
        spec: workspace.spec.clone(),
        container_id: workspace.container_id.clone(),
        remote_user: workspace.remote_user.clone(),
        remote_folder: workspace.remote_folder.clone(),
        after_sequence: after,
        trusted: with.rules.writers.allow(&record.spec.git_ref),
        host_access: with.host_access.of(&record.spec.repository).into(),
        control_plane_id: with.store.identity().to_owned(),
        recovery: record.progress.recovery.clone(),
    }
}

async fn prepare_request(
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
