use std::sync::Arc;

use hearth_api::v1::{
    CacheEntry, ExplainRefRequest, ExplainRefResponse, ExplainWorkspaceRequest,
    ExplainWorkspaceResponse, GetPublicKeyRequest, GetPublicKeyResponse, GetStatsRequest,
    GetStatsResponse, InvalidateEntryRequest, InvalidateEntryResponse, ListEntriesRequest,
    ListEntriesResponse, ProbeAccessRequest, ProbeAccessResponse, VerifiedEntry,
    VerifyCacheRequest, VerifyCacheResponse, cache_service_server::CacheService,
};
use hearth_domain::{
    CacheAccess, CacheRepository, ConfigName, Fallback, KEY_VERSION, Repository, Spec,
};
use hearth_runtime::FieldFaults;
use tonic::{Request, Response, Status};

use super::{page_tokens::PageTokens, paging::Paging, validate};
use crate::{
    access::Caller,
    cache::{CacheRules, Entries, Explanations, Verification},
    error::CallError,
    probe::Probe,
    store::{PageLimit, Selection},
};

const MAX_STATS: usize = 1000;
/// Entries that one call checks: each takes a dozen requests to the registry.
const MAX_VERIFIED: u32 = 20;
/// Stands for all configurations. No configuration can have this name: folders can, but `ConfigName` refuses it.
const ALL: &str = "*";
/// Fewer digits than this would name entries that were not meant.
const MIN_KEY_DIGITS: usize = 8;
const MAX_KEY_DIGITS: usize = 64;

/// Serves `CacheService`.
pub(super) struct CacheApi {
    pub(super) pages: PageTokens,
    pub(super) rules: Arc<CacheRules>,
    pub(super) entries: Arc<Entries>,
    pub(super) explanations: Arc<Explanations>,
    pub(super) probe: Arc<Probe>,
    pub(super) verification: Verification,
    /// What entries are signed with, as PEM; empty: they are not.
    pub(super) public_key: String,
}

#[tonic::async_trait]
impl CacheService for CacheApi {
    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        Ok(Response::new(self.list(&caller, request).await?))
    }

    async fn explain_workspace(
        &self,
        request: Request<ExplainWorkspaceRequest>,
    ) -> Result<Response<ExplainWorkspaceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().workspace_id;
        Ok(Response::new(self.explain_workspace(&caller, id).await?))
    }

    async fn explain_ref(
        &self,
        request: Request<ExplainRefRequest>,
    ) -> Result<Response<ExplainRefResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        Ok(Response::new(self.explain_ref(&caller, request).await?))
    }

    async fn probe_access(
        &self,
        request: Request<ProbeAccessRequest>,
    ) -> Result<Response<ProbeAccessResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        Ok(Response::new(self.probe(&caller, request).await?))
    }

    async fn verify_cache(
        &self,
        request: Request<VerifyCacheRequest>,
    ) -> Result<Response<VerifyCacheResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        Ok(Response::new(self.verify(&caller, request).await?))
    }

    async fn get_public_key(
        &self,
        _: Request<GetPublicKeyRequest>,
    ) -> Result<Response<GetPublicKeyResponse>, Status> {
        Ok(Response::new(GetPublicKeyResponse {
            public_key: self.public_key.clone(),
        }))
    }

    async fn invalidate_entry(
        &self,
        request: Request<InvalidateEntryRequest>,
    ) -> Result<Response<InvalidateEntryResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        Ok(Response::new(self.invalidate(&caller, request).await?))
    }

    async fn get_stats(
        &self,
        request: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.stats(&caller).await?))
    }
}

impl CacheApi {
    async fn list(
        &self,
        caller: &Caller,
        request: ListEntriesRequest,
    ) -> Result<ListEntriesResponse, CallError> {
        let mut faults = FieldFaults::default();
        let paging = Paging::read(
            self.pages.of("entries"),
            request.page_size,
            &request.page_token,
            &mut faults,
        );
        let of = match &*request.repository {
            "" => Some(None),
            url => self.cache_of(url, "", &mut faults).map(Some),
        };
        let (paging, of) = faults.complete(paging.zip(of))?;
        let repository = match of {
            Some(of) => match of.checked(caller)? {
                (None, _) => return Ok(ListEntriesResponse::default()),
                (of, _) => of,
            },
            None => None,
        };
        let read = async |before, limit: PageLimit| {
            let listed = self.entries.list(repository.as_ref(), before, limit.items);
            let found = listed.await?.into_iter();
            let found = found.map(|(number, entry)| (number, entry.map(CacheEntry::from)));
            Ok(found.collect())
        };
        let sees = |entry: &CacheEntry| repository.is_some() || caller.sees_url(&entry.source);
        let (entries, next_page_token) = paging.visible(read, sees).await?;
        Ok(ListEntriesResponse {
            entries,
            next_page_token,
        })
    }

    async fn explain_workspace(
        &self,
        caller: &Caller,
        id: String,
    ) -> Result<ExplainWorkspaceResponse, CallError> {
        let id = validate::workspace_id(&id)?;
        let sees = |repository: &Repository| caller.sees(repository);
        Ok(ExplainWorkspaceResponse {
            explanation: Some(self.explanations.of_workspace(id, sees).await?),
        })
    }

    async fn explain_ref(
        &self,
        caller: &Caller,
        request: ExplainRefRequest,
    ) -> Result<ExplainRefResponse, CallError> {
        let mut faults = FieldFaults::default();
        let of = self.cache_of(&request.repository, &request.config, &mut faults);
        let git_ref = faults.check("ref", request.r#ref.parse());
        let (of, git_ref) = faults.complete(of.zip(git_ref))?;
        let (repository, config) = of.checked(caller)?;
        let repository = repository.ok_or(CallError::RefUnknown)?;
        let explained = self
            .explanations
            .of_ref(&repository, &git_ref, config.as_ref());
        Ok(ExplainRefResponse {
            explanation: explained.await?,
        })
    }

    async fn invalidate(
        &self,
        caller: &Caller,
        request: InvalidateEntryRequest,
    ) -> Result<InvalidateEntryResponse, CallError> {
        let mut faults = FieldFaults::default();
        let all = request.config == ALL;
        let config = if all { "" } else { &request.config };
        let of = self.cache_of(&request.repository, config, &mut faults);
        let key = check_key(&request.key, &mut faults);
        let (repository, _) = faults.complete(of)?.checked(caller)?;
        let selection = Selection {
            repository: &repository.ok_or(CallError::CacheEntryUnknown)?,
            config: (!all).then_some(config),
            key: &key,
        };
        let (entries, warnings) = self.entries.invalidate(selection).await?;
        Ok(InvalidateEntryResponse {
            warnings,
            entries: entries.into_iter().map(Into::into).collect(),
        })
    }

    async fn verify(
        &self,
        caller: &Caller,
        request: VerifyCacheRequest,
    ) -> Result<VerifyCacheResponse, CallError> {
        let mut faults = FieldFaults::default();
        let size = match request.page_size {
            0 => MAX_VERIFIED,
            size => size.min(MAX_VERIFIED),
        };
        let paging = Paging::read(
            self.pages.of("verified"),
            size,
            &request.page_token,
            &mut faults,
        );
        let of = self.cache_of(&request.repository, "", &mut faults);
        let (paging, of) = faults.complete(paging.zip(of))?;
        let (Some(repository), _) = of.checked(caller)? else {
            return Ok(VerifyCacheResponse::default());
        };
        let checked = self
            .verification
            .page(
                &repository,
                paging.before,
                paging.limit().items,
                request.repair,
            )
            .await?;
        let checked = checked.into_iter().map(|(number, verified)| {
            let verified = verified.map(|(entry, checks)| VerifiedEntry {
                entry: Some(entry.into()),
                checks,
            });
            (number, verified)
        });
        let (entries, next_page_token) = paging.page(checked.collect());
        Ok(VerifyCacheResponse {
            entries,
            next_page_token,
        })
    }

    async fn probe(
        &self,
        caller: &Caller,
        request: ProbeAccessRequest,
    ) -> Result<ProbeAccessResponse, CallError> {
        let mut faults = FieldFaults::default();
        let repository = faults.check("repository", request.repository.parse());
        let git_ref = faults.check("ref", request.r#ref.parse());
        let (repository, git_ref) = faults.complete(repository.zip(git_ref))?;
        caller.check_repository(&repository)?;
        let spec = Spec {
            repository,
            git_ref,
            config: None,
            lightweight: false,
            cache_access: CacheAccess::ReadWrite,
            time_limit: None,
            git: hearth_domain::GitOptions::default(),
            fallback: Fallback::default(),
        };
        self.probe.probe(spec).await
    }

    async fn stats(&self, caller: &Caller) -> Result<GetStatsResponse, CallError> {
        let sees = |source: &str| caller.sees_url(source);
        let (total, mut repositories) = self.entries.stats(sees).await?;
        repositories.truncate(MAX_STATS);
        Ok(GetStatsResponse {
            total: Some(total),
            repositories,
        })
    }

    /// Reads a repository's URL and the name of a configuration. `None` when a fault was added.
    fn cache_of(&self, repository: &str, config: &str, faults: &mut FieldFaults) -> Option<Asked> {
        let repository = faults.check("repository", repository.parse::<Repository>());
        let config = faults.check_optional::<ConfigName>("config", config);
        let (repository, config) = repository.zip(config)?;
        let cache = self.rules.reference(&repository, config.as_ref());
        Some(Asked {
            cache: cache.map(|cache| cache.repository().clone()),
            repository,
            config,
        })
    }
}

/// The repository and the configuration that a request names.
struct Asked {
    repository: Repository,
    /// `None`: the registry has none for repositories of this host.
    cache: Option<CacheRepository>,
    config: Option<ConfigName>,
}

impl Asked {
    /// Its cache and the configuration, if the caller may work with the repository.
    fn checked(
        self,
        caller: &Caller,
    ) -> Result<(Option<CacheRepository>, Option<ConfigName>), CallError> {
        caller.check_repository(&self.repository)?;
        Ok((self.cache, self.config))
    }
}

/// The beginning of a key, with its version.
fn check_key(text: &str, faults: &mut FieldFaults) -> String {
    if text.is_empty() {
        return String::new();
    }
    let (version, digits) = text.split_once(':').unwrap_or((KEY_VERSION, text));
    let good = version.starts_with('k')
        && (MIN_KEY_DIGITS..=MAX_KEY_DIGITS).contains(&digits.len())
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !good {
        faults.add(
            "key",
            "must be a cache key or at least its first 8 hex digits",
        );
    }
    format!("{version}:{digits}")
}
