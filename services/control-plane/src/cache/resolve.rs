//! The way of one question to the index: hit, build, or wait until it is one of them.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future, stream, stream::BoxStream};
use hearth_api::v1::{
    BuildDecision, CacheEntry, ResolveCacheResponse, WaitDecision, resolve_cache_response::Decision,
};
use hearth_domain::{
    CacheKey, CacheReference, ConfigName, GitRef, KeyedManifest, Platform, Repository, ServiceName,
};
use hearth_runtime::Tasks;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{
    adopt::{Adopted, adopt},
    cost::{Worth, worth},
    explain,
    leases::{Asker, Outcome, Wait},
    registry_logins::RegistryLogins,
    rules::CacheUse,
    signing::Signing,
    waiting::{Claim, Waiting, may_commit},
};
use crate::{
    clock::now,
    credentials::Rights,
    error::CallError,
    node::Fleet,
    record::Record,
    store::{Decided, Entry, Lookup, Place, Store},
};

/// The writer of an image that was found in the registry. It asks for no key, so that nothing is adopted that was removed.
const WRITER: &str = "registry";

/// What questions are answered with.
pub(crate) struct Resolving {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) registry: Arc<RegistryLogins>,
    pub(crate) signing: Arc<Signing>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) tasks: Tasks,
}

/// What an attempt asks for.
pub(crate) struct Asked {
    pub(crate) key: CacheKey,
    /// The service of its Docker Compose project; `None`: the devcontainer's own image.
    pub(crate) service: Option<ServiceName>,
    /// The inputs behind the key, if it tells them.
    pub(crate) manifest: Option<KeyedManifest>,
    /// It builds for itself.
    pub(crate) only_reads: bool,
}

/// A checked question.
pub(super) struct Question {
    with: Arc<Resolving>,
    place: Place,
    reference: CacheReference,
    manifest: Option<KeyedManifest>,
    source: Repository,
    config: Option<ConfigName>,
    service: Option<ServiceName>,
    git_ref: GitRef,
    platform: Platform,
    rights: Rights,
    asker: Asker,
}

/// The answer so far.
enum Answer {
    Last(Decision),
    Wait(Claim, Wait),
}

pub(crate) type Decisions = BoxStream<'static, Result<ResolveCacheResponse, Status>>;

impl Question {
    pub(super) fn new(
        with: Arc<Resolving>,
        record: &Record,
        cache: CacheUse,
        asked: Asked,
    ) -> Result<Self, CallError> {
        let Asked {
            key,
            service,
            manifest,
            only_reads,
        } = asked;
        let workspace = &record.workspace;
        let node = with.fleet.known(&workspace.node)?;
        Ok(Self {
            place: Place {
                repository: cache.reference.repository().clone(),
                key,
            },
            manifest,
            source: record.spec.repository.clone(),
            config: record.spec.config.clone(),
            git_ref: record.spec.git_ref.clone(),
            platform: node.platform,
            rights: cache.rights(),
            asker: Asker {
                attempt: record.attempt(),
                node: node.name,
                may_write: cache.writable && !only_reads && may_commit(workspace),
            },
            reference: match &service {
                Some(service) => cache.reference.of_service(service),
                None => cache.reference,
            },
            service,
            with,
        })
    }

    /// Answers: at once, or after others.
    pub(super) async fn answer(self) -> Result<Decisions, CallError> {
        let (claim, wait) = match self.ask().await? {
            Answer::Last(decision) => {
                let last = Ok(response(decision));
                return Ok(stream::once(future::ready(last)).boxed());
            }
            Answer::Wait(claim, wait) => (claim, wait),
        };
        let (sender, receiver) = mpsc::channel(1);
        let tasks = self.with.tasks.clone();
        tasks.spawn("wait for an image", async move {
            let stopping = self.with.tasks.stopping().clone();
            let last = tokio::select! {
                // The caller went away: its claim goes with this task.
                () = sender.closed() => return,
                () = stopping.cancelled() => Err(CallError::ShuttingDown),
                last = self.wait(claim, wait, &sender) => last,
            };
            let last = last.map(response).map_err(Status::from);
            // The caller may have gone away.
            let _ = sender.send(last).await;
        });
        Ok(ReceiverStream::new(receiver).boxed())
    }

    async fn ask(&self) -> Result<Answer, CallError> {
        if let Some(hit) = self.hit().await? {
            return Ok(Answer::Last(self.fetch(hit).await?));
        }
        let newest = self.newest().await?;
        let build = newest.as_ref().and_then(build_time);
        let (claim, wait) = self
            .with
            .waiting
            .ask(self.place.clone(), self.asker.clone(), build);
        // Since the first look an image may have been committed, or the attempt may have ended, without knowing of this
        // claim.
        if let Some(hit) = self.hit().await? {
            self.with.waiting.committed(&self.place);
            return Ok(Answer::Last(self.fetch(hit).await?));
        }
        let record = self
            .with
            .store
            .workspace(&self.asker.attempt.workspace)
            .await?;
        match &record {
            Some(record) => self.with.waiting.changed(record),
            None => self.with.waiting.forgotten(&self.asker.attempt.workspace),
        }
        if let Some(wait) = wait {
            return Ok(Answer::Wait(claim, wait));
        }
        if let Some(mut found) = self.adopt().await
            && self.with.store.put_cache_entry(&found, now()).await?
        {
            tracing::info!(
                cache.repository = %self.place.repository,
                cache.key = %self.place.key,
                cache.digest = %found.digest,
                "an image that only the registry knew of is entered into the index"
            );
            self.with.store.note_cache_use(&self.place, now()).await;
            self.with.signing.keep_signed(&mut found).await;
            self.with.waiting.committed(&self.place);
            return Ok(Answer::Last(self.fetch(found).await?));
        }
        let build = self.build(newest).await?;
        claim.keep();
        Ok(Answer::Last(build))
    }

    /// An image that only the registry knows of, for example because the index was lost.
    async fn adopt(&self) -> Option<Entry> {
        let found = adopt(
            &self.with.registry,
            &self.with.signing,
            &self.source,
            &self.reference,
            &self.platform,
            &self.place.key,
            self.rights,
        )
        .await?;
        let Adopted {
            image,
            claim,
            signature,
        } = found;
        // As it was signed. What cannot be read any more is left to its signature: the entry is signed again.
        Some(Entry {
            place: self.place.clone(),
            digest: image.digest,
            manifest: claim.manifest,
            source: claim.source.parse().ok(),
            config: claim.config.parse().ok(),
            // Who asks says so. It shapes no image: the key has all that does.
            service: self.service.clone(),
            platform: claim.platform,
            commit: claim.commit.parse().ok(),
            git_ref: claim.git_ref.parse().unwrap_or(GitRef::Default),
            writer: WRITER.to_owned(),
            build_seconds: 0.0,
            bytes: image.bytes,
            signature: Some(signature),
            created: None,
            last_used: None,
        })
    }

    async fn wait(
        &self,
        mut claim: Claim,
        wait: Wait,
        sender: &mpsc::Sender<Result<ResolveCacheResponse, Status>>,
    ) -> Result<Decision, CallError> {
        tracing::info!(
            workspace.id = %self.asker.attempt.workspace,
            cache.key = %self.place.key,
            node = wait.node,
            seconds = wait.remaining.map(|time| time.as_secs()),
            "waits for the image that another attempt builds"
        );
        let mut wait = Some(wait);
        loop {
            if let Some(wait) = wait.take() {
                // The caller that does not listen is dropped together with this future.
                let _ = sender
                    .send(Ok(response(Decision::Wait(decision(wait)))))
                    .await;
            }
            match claim.outcome().await {
                Outcome::Wait(next) => wait = Some(next),
                Outcome::Build => {
                    let build = self.build(self.newest().await?).await?;
                    claim.keep();
                    return Ok(build);
                }
                Outcome::Ended => {
                    return Err(CallError::AttemptUnknown {
                        id: self.asker.attempt.workspace.to_string(),
                        attempt: self.asker.attempt.number,
                    });
                }
                Outcome::Committed => match self.ask().await? {
                    Answer::Last(decision) => return Ok(decision),
                    // It was dropped again at once, and another attempt asked first.
                    Answer::Wait(next, told) => {
                        claim = next;
                        wait = Some(told);
                    }
                },
            }
        }
    }

    async fn hit(&self) -> Result<Option<Entry>, CallError> {
        let mut hit = self.with.store.cache_hit(&self.place, now()).await?;
        if let Some(hit) = &mut hit {
            self.with.signing.keep_signed(hit).await;
        }
        Ok(hit)
    }

    async fn newest(&self) -> Result<Option<Entry>, CallError> {
        let store = &self.with.store;
        let repository = &self.place.repository;
        let (config, service) = (self.config.as_ref(), self.service.as_ref());
        let newest = store.newest_cache_entry(repository, config, service, &self.platform);
        Ok(newest.await?)
    }

    /// There is an image: it is fetched unless that is expected to take longer than building it, and now and then all the
    /// same.
    async fn fetch(&self, entry: Entry) -> Result<Decision, CallError> {
        let (store, node) = (&self.with.store, &self.asker.node);
        let rate = store.fetch_rate(node).await?;
        let worth = worth(entry.bytes, entry.build_seconds, rate);
        if let Worth::Try(rate) | Worth::Build(rate) = worth {
            store.put_fetch_rate(node, rate).await?;
        }
        let rate = rate.map(|rate| rate.bytes_per_second);
        if !matches!(worth, Worth::Build(_)) {
            self.note(Decided::Hit, Some(entry.clone()), rate).await?;
            let build_cache = store.build_cache(&entry.place, &entry.writer).await?;
            return Ok(Decision::Hit(CacheEntry {
                build_cache: build_cache.map_or_else(String::new, |digest| digest.to_string()),
                ..entry.into()
            }));
        }
        let lookup = self.note(Decided::Slower, Some(entry), rate).await?;
        Ok(Decision::Build(BuildDecision {
            reasons: explain::reasons(&lookup),
            fetch_is_slower: true,
        }))
    }

    async fn build(&self, newest: Option<Entry>) -> Result<Decision, CallError> {
        let lookup = self.note(Decided::Build, newest, None).await?;
        Ok(Decision::Build(BuildDecision {
            reasons: explain::reasons(&lookup),
            fetch_is_slower: false,
        }))
    }

    /// Keeps what is needed to explain the answer later.
    async fn note(
        &self,
        decided: Decided,
        entry: Option<Entry>,
        rate: Option<f64>,
    ) -> Result<Lookup, CallError> {
        let lookup = Lookup {
            attempt: self.asker.attempt.clone(),
            place: self.place.clone(),
            git_ref: self.git_ref.clone(),
            config: self.config.clone(),
            service: self.service.clone(),
            platform: self.platform.clone(),
            manifest: self.manifest.clone(),
            decided,
            entry,
            rate,
            finding: String::new(),
        };
        self.with.store.put_lookup(&lookup, now()).await?;
        Ok(lookup)
    }
}

/// How long another image like this one takes to build. An adopted one does not tell.
fn build_time(newest: &Entry) -> Option<Duration> {
    let seconds = Some(newest.build_seconds).filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn response(decision: Decision) -> ResolveCacheResponse {
    ResolveCacheResponse {
        decision: Some(decision),
    }
}

fn decision(wait: Wait) -> WaitDecision {
    WaitDecision {
        node: wait.node,
        unknown: wait.remaining.is_none(),
        seconds: wait.remaining.unwrap_or_default().as_secs_f64(),
    }
}
