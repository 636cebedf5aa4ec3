use std::{future::Future, time::Duration};

use async_trait::async_trait;
use hearth_api::v1::{
    BuildDecision, CacheEntry, CommitBuildCacheRequest, CommitCacheRequest, DropCacheRequest,
    FindBuildCacheRequest, FindLastGoodRequest, ResolveCacheRequest, WaitDecision, Waiting,
    cache_index_service_client::CacheIndexServiceClient, resolve_cache_response::Decision,
};
use hearth_domain::{
    AttemptRef, CacheKey, CacheRepository, Digest, KeyedManifest, Platform, ServiceName,
};
use hearth_runtime::contract::attempt_message;
use hearth_signatures::Claim;
use tonic::{Request, Status, transport::Channel};

use super::{
    cache_api::{
        CacheIndex, Dropped, IndexFailure, OnWait, PushedImage, Question, ReadableCache, Resolution,
    },
    client::{CALL_TIMEOUT, ControlPlaneClient},
    earlier_image::{EarlierImage, earlier, optional, parsed},
    pauses::{pauses, while_unavailable},
    trusted_keys::TrustedKeys,
};

/// How long a call that no workspace waits for may take, with its repetitions.
const BACKGROUND: Duration = Duration::from_secs(120);

#[async_trait]
impl CacheIndex for ControlPlaneClient {
    async fn resolve(
        &self,
        attempt: &AttemptRef,
        question: Question<'_>,
        on_wait: OnWait<'_>,
    ) -> Result<Resolution, IndexFailure> {
        let Question {
            repository,
            service,
            platform,
            manifest,
            may_write,
        } = question;
        let request = ResolveCacheRequest {
            attempt: Some(attempt_message(attempt)),
            repository: repository.to_string(),
            key: manifest.key().to_string(),
            key_manifest: manifest.canonical_json().to_owned(),
            only_reads: !may_write,
            service: service_text(service),
        };
        let answer = self.as_node(|bearer| {
            let request = bearer.on(request.clone());
            async { client(self).resolve_cache(request).await }
        });
        // A workspace does not wait for the node's registration either.
        let mut decisions = within(CALL_TIMEOUT, answer).await?.into_inner();
        // The channel's limit ends with the headers; what follows the first message may take as long as a build.
        let mut message = within(CALL_TIMEOUT, decisions.message()).await?;
        while let Some(response) = message {
            match response.decision {
                Some(Decision::Hit(entry)) => {
                    return hit(entry, repository, platform, manifest, self.keys());
                }
                Some(Decision::Build(BuildDecision {
                    reasons,
                    fetch_is_slower,
                })) => {
                    return Ok(Resolution::Build {
                        reasons,
                        fetch_is_slower,
                    });
                }
                Some(Decision::Wait(WaitDecision {
                    node,
                    seconds,
                    unknown,
                })) => on_wait(Waiting {
                    node,
                    seconds,
                    unknown,
                }),
                None => {}
            }
            message = decisions.message().await.map_err(failure)?;
        }
        Err(IndexFailure(
            "it ended its answer without a decision".to_owned(),
        ))
    }

    async fn commit(
        &self,
        attempt: &AttemptRef,
        image: &PushedImage<'_>,
    ) -> Result<(), IndexFailure> {
        let entry = CacheEntry {
            repository: image.repository.to_string(),
            key: image.manifest.key().to_string(),
            digest: image.digest.to_string(),
            key_manifest: image.manifest.canonical_json().to_owned(),
            config: image.config.map(ToString::to_string).unwrap_or_default(),
            service: service_text(image.service),
            platform: image.platform.to_string(),
            commit: image.commit.map(ToString::to_string).unwrap_or_default(),
            build_seconds: image.build_seconds,
            bytes: image.bytes,
            ..CacheEntry::default()
        };
        let request = CommitCacheRequest {
            attempt: Some(attempt_message(attempt)),
            entry: Some(entry),
        };
        self.background(&request, |request| async {
            client(self).commit_cache(request).await
        })
        .await
    }

    async fn drop_entry(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        key: &CacheKey,
        digest: &Digest,
        why: Dropped<'_>,
    ) -> Result<(), IndexFailure> {
        let (executed_step, differs) = match why {
            Dropped::Missing => ("", ""),
            Dropped::Executed(step) => (step, ""),
            Dropped::Differs(properties) => ("", properties),
        };
        let request = DropCacheRequest {
            attempt: Some(attempt_message(attempt)),
            repository: repository.to_string(),
            key: key.to_string(),
            digest: digest.to_string(),
            executed_step: executed_step.to_owned(),
            differs: differs.to_owned(),
        };
        self.background(&request, |request| async {
            client(self).drop_cache(request).await
        })
        .await
    }

    async fn build_cache(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        service: Option<&ServiceName>,
    ) -> Result<ReadableCache, IndexFailure> {
        let request = FindBuildCacheRequest {
            attempt: Some(attempt_message(attempt)),
            repository: repository.to_string(),
            service: service_text(service),
        };
        let answer = self.as_node(|bearer| {
            let request = bearer.on(request.clone());
            async { client(self).find_build_cache(request).await }
        });
        let answer = within(CALL_TIMEOUT, answer).await?.into_inner();
        Ok(ReadableCache {
            digest: optional(&answer.digest).map_err(IndexFailure)?,
            generation: answer.generation,
        })
    }

    async fn commit_build_cache(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        service: Option<&ServiceName>,
        key: &CacheKey,
        digest: &Digest,
        generation: u64,
    ) -> Result<(), IndexFailure> {
        let request = CommitBuildCacheRequest {
            attempt: Some(attempt_message(attempt)),
            repository: repository.to_string(),
            key: key.to_string(),
            digest: digest.to_string(),
            generation,
            service: service_text(service),
        };
        self.background(&request, |request| async {
            client(self).commit_build_cache(request).await
        })
        .await
    }

    async fn last_good(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        platform: &Platform,
    ) -> Result<Option<EarlierImage>, IndexFailure> {
        let request = FindLastGoodRequest {
            attempt: Some(attempt_message(attempt)),
            repository: repository.to_string(),
        };
        let answer = self.as_node(|bearer| {
            let request = bearer.on(request.clone());
            async { client(self).find_last_good(request).await }
        });
        let answer = within(CALL_TIMEOUT, answer).await?.into_inner();
        let image = answer
            .entry
            .map(|entry| earlier(entry, repository, platform, self.keys()));
        image.transpose().map_err(IndexFailure)
    }
}

impl ControlPlaneClient {
    /// Makes a call that no workspace waits for, and repeats it while the control plane is not there.
    async fn background<M, T, F>(
        &self,
        message: &M,
        call: impl Fn(Request<M>) -> F,
    ) -> Result<(), IndexFailure>
    where
        M: Clone,
        F: Future<Output = Result<T, Status>>,
    {
        let call = &call;
        let answer = self.as_node(|bearer| {
            while_unavailable(pauses(), move || call(bearer.on(message.clone())))
        });
        within(BACKGROUND, answer).await.map(|_| ())
    }
}

fn service_text(service: Option<&ServiceName>) -> String {
    service.map(ToString::to_string).unwrap_or_default()
}

/// The answer to a call, if it comes in time.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, IndexFailure> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(failure),
        Err(_) => Err(IndexFailure("it did not answer".to_owned())),
    }
}

/// The image of an entry, if it is the entry of the requested key. What was asked for counts as it was asked: a signature
/// for anything else does not verify.
fn hit(
    entry: CacheEntry,
    repository: &CacheRepository,
    platform: &Platform,
    manifest: &KeyedManifest,
    keys: &TrustedKeys,
) -> Result<Resolution, IndexFailure> {
    let key = manifest.key();
    if entry.repository != repository.as_str() || entry.key != key.as_str() {
        let other = format!("it answered with the entry {} of another key", entry.key);
        return Err(IndexFailure(other));
    }
    let build_cache = optional(&entry.build_cache).map_err(IndexFailure)?;
    let claim = Claim {
        digest: parsed(&entry.digest).map_err(IndexFailure)?,
        repository: repository.clone(),
        key: key.clone(),
        platform: platform.clone(),
        // An entry may be from an agent that did not send it.
        manifest: (!entry.key_manifest.is_empty()).then(|| manifest.clone()),
        config: entry.config,
        source: entry.source,
        git_ref: entry.r#ref,
        commit: entry.commit,
    };
    Ok(match keys.check(&claim, &entry.signature) {
        Ok(()) => Resolution::Hit {
            digest: claim.digest,
            build_cache,
        },
        Err(why) => Resolution::Unproven(why),
    })
}

pub(super) fn client(control_plane: &ControlPlaneClient) -> CacheIndexServiceClient<Channel> {
    CacheIndexServiceClient::new(control_plane.channel())
}

fn failure(status: Status) -> IndexFailure {
    IndexFailure(format!("{}: {}", status.code(), status.message()))
}
