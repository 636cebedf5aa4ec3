use std::sync::Arc;

use hearth_api::v1::{
    CacheStats, ExplainRefRequest, ExplainRefResponse, ExplainWorkspaceRequest,
    ExplainWorkspaceResponse, GetStatsRequest, GetStatsResponse, InvalidateEntryRequest,
    InvalidateEntryResponse, ListEntriesRequest, ListEntriesResponse, ProbeAccessRequest,
    ProbeAccessResponse, WorkspaceSpec, cache_service_server::CacheService,
};
use hearth_domain::{CacheReference, ConfigName, GitRef, Repository};
use hearth_runtime::FieldFaults;
use tonic::{Request, Response, Status};

use super::{explain::explain, validate};
use crate::{
    cache::logins::RegistryLogins,
    core::Core,
    error::CallError,
    probe::probe,
    store::{Decided, Lookup, Selection},
};

const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;
const MAX_STATS: usize = 1000;
/// Stands for all configurations. No configuration can have this name: folders can, but `ConfigName` refuses it.
const ALL: &str = "*";
/// Fewer digits than this would name entries that were not meant.
const MIN_KEY_DIGITS: usize = 8;
const MAX_KEY_DIGITS: usize = 64;

/// Serves `CacheService`.
pub(super) struct Cache(pub(super) Arc<Core>);

#[tonic::async_trait]
impl CacheService for Cache {
    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn explain_workspace(
        &self,
        request: Request<ExplainWorkspaceRequest>,
    ) -> Result<Response<ExplainWorkspaceResponse>, Status> {
        let id = request.into_inner().workspace_id;
        Ok(Response::new(self.explain_workspace(id).await?))
    }

    async fn explain_ref(
        &self,
        request: Request<ExplainRefRequest>,
    ) -> Result<Response<ExplainRefResponse>, Status> {
        Ok(Response::new(self.explain_ref(request.into_inner()).await?))
    }

    async fn probe_access(
        &self,
        request: Request<ProbeAccessRequest>,
    ) -> Result<Response<ProbeAccessResponse>, Status> {
        Ok(Response::new(self.probe(request.into_inner()).await?))
    }

    async fn invalidate_entry(
        &self,
        request: Request<InvalidateEntryRequest>,
    ) -> Result<Response<InvalidateEntryResponse>, Status> {
        Ok(Response::new(self.invalidate(request.into_inner()).await?))
    }

    async fn get_stats(
        &self,
        _: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        Ok(Response::new(self.stats().await?))
    }
}

impl Cache {
    async fn list(&self, request: ListEntriesRequest) -> Result<ListEntriesResponse, CallError> {
        let mut faults = FieldFaults::default();
        let limit = match request.page_size {
            0 => DEFAULT_PAGE,
            size if size <= MAX_PAGE => size,
            _ => {
                faults.add("page_size", "is more than 1000");
                DEFAULT_PAGE
            }
        };
        let before = match request.page_token.as_str() {
            "" => None,
            token => match token.parse::<u64>() {
                Ok(number) => Some(number),
                Err(_) => {
                    faults.add("page_token", "is not one that was given out");
                    None
                }
            },
        };
        let repository = match request.repository.as_str() {
            "" => String::new(),
            url => self
                .reference(url, "", &mut faults)
                .map(|reference| reference.repository().to_string())
                .unwrap_or_default(),
        };
        faults.into_result()?;
        let store = &self.0.store;
        // One more than is asked for tells whether there is another page.
        let mut rows = store.cache_entries(&repository, before, limit + 1).await?;
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        Ok(ListEntriesResponse {
            next_page_token: match rows.last() {
                Some((number, _)) if more => number.to_string(),
                _ => String::new(),
            },
            entries: rows.into_iter().map(|(_, entry)| entry).collect(),
        })
    }

    async fn explain_workspace(&self, id: String) -> Result<ExplainWorkspaceResponse, CallError> {
        validate::workspace_id(&id)?;
        let store = &self.0.store;
        let Some(record) = store.workspace(&id).await? else {
            return Err(CallError::WorkspaceUnknown(id));
        };
        let workspace = record.workspace;
        let lookup = store.lookup(&id, workspace.attempt).await?;
        let explanation = explain(lookup.as_ref(), workspace.cache.as_ref())
            .ok_or(CallError::CacheKeyUnknown(id))?;
        Ok(ExplainWorkspaceResponse {
            explanation: Some(explanation),
        })
    }

    async fn explain_ref(
        &self,
        request: ExplainRefRequest,
    ) -> Result<ExplainRefResponse, CallError> {
        let mut faults = FieldFaults::default();
        let reference = self.reference(&request.repository, &request.config, &mut faults);
        if !request.r#ref.is_empty() {
            faults.check("ref", request.r#ref.parse::<GitRef>());
        }
        faults.into_result()?;
        let store = &self.0.store;
        let repository = reference
            .map(|reference| reference.repository().to_string())
            .unwrap_or_default();
        let seen = store
            .newest_lookup(&repository, &request.r#ref, &request.config)
            .await?
            .ok_or(CallError::RefUnknown)?;
        // The question is what there is now, not what there was then.
        let found = store.cache_entry(&repository, &seen.key).await?;
        let decided = match found {
            Some(_) => Decided::Hit,
            None => Decided::Build,
        };
        let entry = match found {
            Some(entry) => Some(entry),
            None => {
                let (config, platform) = (&seen.config, &seen.platform);
                store
                    .newest_cache_entry(&repository, config, platform)
                    .await?
            }
        };
        let lookup = Lookup {
            decided,
            entry,
            ..seen
        };
        Ok(ExplainRefResponse {
            explanation: explain(Some(&lookup), None),
        })
    }

    async fn invalidate(
        &self,
        request: InvalidateEntryRequest,
    ) -> Result<InvalidateEntryResponse, CallError> {
        let mut faults = FieldFaults::default();
        let all = request.config == ALL;
        let config = if all { "" } else { &request.config };
        let reference = self.reference(&request.repository, config, &mut faults);
        let key = check_key(&request.key, &mut faults);
        faults.into_result()?;
        let reference = reference.ok_or(CallError::CacheEntryUnknown)?;
        let core = &self.0;
        let mut entries = core
            .store
            .drop_cache_entries(Selection {
                repository: reference.repository().as_str(),
                config: (!all).then_some(config),
                key: &key,
            })
            .await?;
        if entries.is_empty() {
            return Err(CallError::CacheEntryUnknown);
        }
        tracing::info!(
            cache.repository = %reference.repository(),
            entries = entries.len(),
            "cache entries dropped on request"
        );
        for entry in &mut entries {
            entry.key_manifest.clear();
        }
        let registry = RegistryLogins::new(core);
        let deleted = core.images.delete(&*core.store, &registry, &entries);
        Ok(InvalidateEntryResponse {
            warnings: deleted.await?,
            entries,
        })
    }

    async fn probe(&self, request: ProbeAccessRequest) -> Result<ProbeAccessResponse, CallError> {
        let mut faults = FieldFaults::default();
        let repository = faults.check("repository", request.repository.parse::<Repository>());
        if !request.r#ref.is_empty() {
            faults.check("ref", request.r#ref.parse::<GitRef>());
        }
        faults.into_result()?;
        let spec = WorkspaceSpec {
            repository: request.repository,
            r#ref: request.r#ref,
            ..WorkspaceSpec::default()
        };
        // One that did not parse has been a fault above.
        let repository = repository.ok_or(CallError::RefUnknown)?;
        let core = self.0.clone();
        // What was begun in a registry is cancelled there even if the client goes away.
        let work = async move { Ok(probe(&core, &repository, &spec).await) };
        self.0.detached("probe access", work).await
    }

    async fn stats(&self) -> Result<GetStatsResponse, CallError> {
        let mut repositories = self.0.store.cache_stats().await?;
        let mut total = CacheStats::default();
        for one in &repositories {
            total.exact += one.exact;
            total.partial += one.partial;
            total.misses += one.misses;
            total.skipped += one.skipped;
            total.entries += one.entries;
            total.bytes += one.bytes;
            total.saved_seconds += one.saved_seconds;
        }
        // Attempts of repositories without a cache have no name to be listed under.
        repositories.retain(|one| !one.repository.is_empty());
        repositories.truncate(MAX_STATS);
        Ok(GetStatsResponse {
            total: Some(total),
            repositories,
        })
    }

    /// Where the cache of a repository is; `None` where it has none.
    fn reference(
        &self,
        repository: &str,
        config: &str,
        faults: &mut FieldFaults,
    ) -> Option<CacheReference> {
        faults.check("repository", repository.parse::<Repository>());
        if !config.is_empty() {
            faults.check("config", config.parse::<ConfigName>());
        }
        self.0.cache_rules.reference(repository, config)
    }
}

/// The beginning of a key, with its version.
fn check_key(text: &str, faults: &mut FieldFaults) -> String {
    if text.is_empty() {
        return String::new();
    }
    let digits = text.strip_prefix("k1:").unwrap_or(text);
    let good = (MIN_KEY_DIGITS..=MAX_KEY_DIGITS).contains(&digits.len())
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !good {
        faults.add(
            "key",
            "must be a cache key or at least its first 8 hex digits",
        );
    }
    format!("k1:{digits}")
}
