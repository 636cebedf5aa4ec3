use std::sync::Arc;

use hearth_api::v1::{
    AttemptRef, CacheEntry, CommitBuildCacheRequest, CommitBuildCacheResponse, CommitCacheRequest,
    CommitCacheResponse, DropCacheRequest, DropCacheResponse, FindBuildCacheRequest,
    FindBuildCacheResponse, FindLastGoodRequest, FindLastGoodResponse, FindNeighboursRequest,
    FindNeighboursResponse, Neighbour, ResolveCacheRequest,
    cache_index_service_server::CacheIndexService,
};
use hearth_domain::{
    Digest,
    text::{printable_line, shortened},
};
use hearth_runtime::{FieldFaults, contract};
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use crate::{
    cache::{Asked, CacheUse, Decisions, Index, Offer},
    error::CallError,
    record::Record,
    store::{Entry, Place, Readable, manifest},
};

/// Longest build. Later questions reckon with it.
const MAX_BUILD_SECONDS: f64 = 30.0 * 24.0 * 3600.0;

/// Longest name of a step in the log.
const MAX_STEP_CHARS: usize = 200;

/// Hex digits of a neighbour's token.
const TOKEN_DIGITS: usize = 64;

/// Serves `CacheIndexService`.
pub(super) struct CacheIndexApi(pub(super) Arc<Index>);

#[tonic::async_trait]
impl CacheIndexService for CacheIndexApi {
    type ResolveCacheStream = Decisions;

    async fn resolve_cache(
        &self,
        request: Request<ResolveCacheRequest>,
    ) -> Result<Response<Self::ResolveCacheStream>, Status> {
        Ok(Response::new(
            self.resolve(&Caller::of(&request)?, request.into_inner())
                .await?,
        ))
    }

    async fn commit_cache(
        &self,
        request: Request<CommitCacheRequest>,
    ) -> Result<Response<CommitCacheResponse>, Status> {
        Box::pin(self.commit(&Caller::of(&request)?, request.into_inner())).await?;
        Ok(Response::new(CommitCacheResponse {}))
    }

    async fn drop_cache(
        &self,
        request: Request<DropCacheRequest>,
    ) -> Result<Response<DropCacheResponse>, Status> {
        self.drop_entry(&Caller::of(&request)?, request.into_inner())
            .await?;
        Ok(Response::new(DropCacheResponse {}))
    }

    async fn find_build_cache(
        &self,
        request: Request<FindBuildCacheRequest>,
    ) -> Result<Response<FindBuildCacheResponse>, Status> {
        let Readable { digest, generation } = self
            .find_build_cache(&Caller::of(&request)?, request.into_inner())
            .await?;
        Ok(Response::new(FindBuildCacheResponse {
            digest: digest.map_or_else(String::new, |digest| digest.to_string()),
            generation,
        }))
    }

    async fn commit_build_cache(
        &self,
        request: Request<CommitBuildCacheRequest>,
    ) -> Result<Response<CommitBuildCacheResponse>, Status> {
        self.commit_build_cache(&Caller::of(&request)?, request.into_inner())
            .await?;
        Ok(Response::new(CommitBuildCacheResponse {}))
    }

    async fn find_last_good(
        &self,
        request: Request<FindLastGoodRequest>,
    ) -> Result<Response<FindLastGoodResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let record = self.workspace(&caller, request.attempt).await?;
        let mut faults = FieldFaults::default();
        let cache = self.cache("repository", &request.repository, &record, &mut faults);
        let cache = faults.complete(cache)?;
        let entry = self.0.last_good(&record, &cache).await?;
        Ok(Response::new(FindLastGoodResponse {
            entry: entry.map(CacheEntry::from),
        }))
    }

    async fn find_neighbours(
        &self,
        request: Request<FindNeighboursRequest>,
    ) -> Result<Response<FindNeighboursResponse>, Status> {
        let found = self
            .find_neighbours(&Caller::of(&request)?, request.into_inner())
            .await?;
        let neighbours = found.into_iter().map(|offer| Neighbour {
            address: offer.address.to_string(),
            token: offer.token.expose_secret().to_owned(),
        });
        Ok(Response::new(FindNeighboursResponse {
            neighbours: neighbours.collect(),
        }))
    }
}

impl CacheIndexApi {
    async fn resolve(
        &self,
        caller: &Caller,
        request: ResolveCacheRequest,
    ) -> Result<Decisions, CallError> {
        let record = self.workspace(caller, request.attempt).await?;
        let mut faults = FieldFaults::default();
        let key = faults.check("key", request.key.parse());
        let manifest = manifest(&request.key_manifest, "key_manifest", &mut faults);
        let cache = self.cache("repository", &request.repository, &record, &mut faults);
        let service = faults.check_optional("service", &request.service);
        let asked = cache.zip(key).zip(manifest.zip(service));
        let ((cache, key), (manifest, service)) = faults.complete(asked)?;
        let asked = Asked {
            key,
            service,
            manifest,
            only_reads: request.only_reads,
        };
        self.0.resolve(&record, cache, asked).await
    }

    async fn commit(&self, caller: &Caller, request: CommitCacheRequest) -> Result<(), CallError> {
        let record = self.workspace(caller, request.attempt).await?;
        let cache = self.0.cache_use(&record).filter(|cache| cache.writable);
        let cache = cache.ok_or(CallError::CacheReadOnly)?;
        let mut faults = FieldFaults::default();
        let message = CacheEntry {
            // Nobody signs but the control plane.
            signature: Vec::new(),
            ..request.entry.unwrap_or_default()
        };
        self.cache(
            "entry.repository",
            &message.repository,
            &record,
            &mut faults,
        );
        if message.config != record.spec.config_text() {
            faults.add("entry.config", "is not the workspace's configuration");
        }
        if message.build_seconds > MAX_BUILD_SECONDS {
            faults.add("entry.build_seconds", "must be at most 30 days");
        }
        let entry = Entry::read(message, &mut faults);
        let entry = Entry {
            source: Some(record.spec.repository.clone()),
            git_ref: record.spec.git_ref.clone(),
            writer: record.id.to_string(),
            ..faults.complete(entry)?
        };
        Box::pin(self.0.commit(&record, &cache, entry)).await
    }

    async fn drop_entry(
        &self,
        caller: &Caller,
        request: DropCacheRequest,
    ) -> Result<(), CallError> {
        let record = self.workspace(caller, request.attempt).await?;
        let (cache, place, digest) =
            self.place(&record, &request.repository, &request.key, &request.digest)?;
        let [step, differs] = [&request.executed_step, &request.differs]
            .map(|text| shortened(&printable_line(text), MAX_STEP_CHARS));
        let finding = match (step.as_str(), differs.as_str()) {
            ("", "") => return self.0.drop_missing(&record, &cache, &place, &digest).await,
            ("", properties) => {
                format!("BuildKit would have set {properties} of its configuration otherwise")
            }
            (step, _) => format!("BuildKit would have run {step:?} again"),
        };
        if !cache.writable {
            return Err(CallError::CacheReadOnly);
        }
        self.0.drop_wrong(&record, &place, &digest, &finding).await
    }

    async fn find_build_cache(
        &self,
        caller: &Caller,
        request: FindBuildCacheRequest,
    ) -> Result<Readable, CallError> {
        let record = self.workspace(caller, request.attempt).await?;
        let mut faults = FieldFaults::default();
        let cache = self.cache("repository", &request.repository, &record, &mut faults);
        let service = faults.check_optional("service", &request.service);
        let (cache, service) = faults.complete(cache.zip(service))?;
        self.0.build_cache(&record, &cache, service.as_ref()).await
    }

    async fn commit_build_cache(
        &self,
        caller: &Caller,
        request: CommitBuildCacheRequest,
    ) -> Result<(), CallError> {
        let record = self.workspace(caller, request.attempt).await?;
        let (cache, place, digest) =
            self.place(&record, &request.repository, &request.key, &request.digest)?;
        let mut faults = FieldFaults::default();
        let service = faults.check_optional("service", &request.service);
        let service = faults.complete(service)?;
        if !cache.writable {
            return Err(CallError::CacheReadOnly);
        }
        self.0
            .commit_build_cache(&record, place, service, digest, request.generation)
            .await
    }

    async fn find_neighbours(
        &self,
        caller: &Caller,
        request: FindNeighboursRequest,
    ) -> Result<Vec<Offer>, CallError> {
        let record = self.workspace(caller, request.attempt).await?;
        let mut faults = FieldFaults::default();
        let cache = self.cache("repository", &request.repository, &record, &mut faults);
        let digest = faults.check("digest", request.digest.parse());
        let offer = match request.offer {
            None => Some(None),
            Some(Neighbour { address, token }) => {
                let address = faults.check("offer.address", address.parse());
                let is_token = token.len() == TOKEN_DIGITS
                    && token.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !is_token {
                    faults.add("offer.token", "must be 64 hex digits");
                }
                address.map(|address| {
                    Some(Offer {
                        address,
                        token: token.into(),
                    })
                })
            }
        };
        let ((cache, digest), offer) = faults.complete(cache.zip(digest).zip(offer))?;
        self.0.neighbours(&record, &cache, &digest, offer)
    }

    /// A key in the attempt's own cache, and a digest there.
    fn place(
        &self,
        record: &Record,
        repository: &str,
        key: &str,
        digest: &str,
    ) -> Result<(CacheUse, Place, Digest), CallError> {
        let mut faults = FieldFaults::default();
        let cache = self.cache("repository", repository, record, &mut faults);
        let key = faults.check("key", key.parse());
        let digest = faults.check("digest", digest.parse());
        let ((cache, key), digest) = faults.complete(cache.zip(key).zip(digest))?;
        let repository = cache.reference.repository().clone();
        Ok((cache, Place { repository, key }, digest))
    }

    /// The cache of the attempt's own repository: an attempt uses no other.
    fn cache(
        &self,
        field: &str,
        repository: &str,
        record: &Record,
        faults: &mut FieldFaults,
    ) -> Option<CacheUse> {
        let own = |cache: &CacheUse| cache.reference.repository().as_str() == repository;
        let cache = self.0.cache_use(record).filter(own);
        if cache.is_none() {
            faults.add(field, "is not the cache of the workspace's repository");
        }
        cache
    }

    async fn workspace(
        &self,
        caller: &Caller,
        attempt: Option<AttemptRef>,
    ) -> Result<Record, CallError> {
        let mut faults = FieldFaults::default();
        // An attempt that cannot be is not known either.
        match contract::attempt(attempt.as_ref(), &mut faults) {
            Some(attempt) => {
                let record = self.0.workspace(&attempt).await?;
                caller.check(&record)?;
                Ok(record)
            }
            None => {
                let AttemptRef {
                    workspace_id: id,
                    attempt,
                } = attempt.unwrap_or_default();
                Err(CallError::AttemptUnknown { id, attempt })
            }
        }
    }
}
