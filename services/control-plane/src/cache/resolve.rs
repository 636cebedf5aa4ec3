//! The way of one question to the index: hit, build, or wait until it is one of them.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future, stream, stream::BoxStream};
use hearth_api::v1::{
    BuildDecision, CacheEntry, ResolveCacheResponse, WaitDecision, resolve_cache_response::Decision,
};
use hearth_domain::{CacheReference, WorkspaceId};
use hearth_runtime::Tasks;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{
    adopt::adopt,
    cost::{as_f64, too_slow},
    explain,
    leases::{Asker, Outcome, Place, Wait},
    registry_logins::RegistryLogins,
    rules::CacheUse,
    waiting::{Claim, Waiting, may_commit},
};
use crate::{
    clock::now,
    credentials::Rights,
    error::CallError,
    node::Fleet,
    record::Record,
    store::{Decided, Lookup, Store},
};

/// What a push takes beyond its bytes, and how fast they go when nothing better is known.
const PUSH: Duration = Duration::from_secs(10);
const PUSH_BYTES_PER_SECOND: f64 = 25e6;

/// What questions are answered with.
pub(crate) struct Resolving {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) registry: Arc<RegistryLogins>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) tasks: Tasks,
}

/// A checked question.
pub(super) struct Question {
    with: Arc<Resolving>,
    id: WorkspaceId,
    place: Place,
    reference: CacheReference,
    manifest: String,
    config: String,
    git_ref: String,
    platform: String,
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
        key: String,
        manifest: String,
    ) -> Self {
        let workspace = &record.workspace;
        let node = with.fleet.get(&workspace.node);
        Self {
            id: record.id.clone(),
            place: Place {
                repository: cache.reference.repository().to_string(),
                key,
            },
            manifest,
            config: record.spec.config_text().to_owned(),
            git_ref: record.spec.git_ref.to_string(),
            platform: node
                .map(|node| node.platform.to_string())
                .unwrap_or_default(),
            rights: cache.rights(),
            asker: Asker {
                workspace_id: workspace.id.clone(),
                attempt: workspace.attempt,
                node: workspace.node.clone(),
                may_write: cache.writable && may_commit(workspace),
            },
            reference: cache.reference,
            with,
        }
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
            // Nobody may be there any more to hear it.
            let _ = sender.send(last).await;
        });
        Ok(ReceiverStream::new(receiver).boxed())
    }

    async fn ask(&self) -> Result<Answer, CallError> {
        if let Some(hit) = self.hit().await? {
            return Ok(Answer::Last(self.fetch(hit).await?));
        }
        let newest = self.newest().await?;
        let estimate = newest.as_ref().and_then(estimate);
        let (claim, wait) = self
            .with
            .waiting
            .ask(self.place.clone(), self.asker.clone(), estimate);
        // Between the first look and the question an image may have been committed, or the attempt have ended: whoever
        // committed or ended it did not see this claim.
        if let Some(hit) = self.hit().await? {
            self.with.waiting.committed(&self.place);
            return Ok(Answer::Last(self.fetch(hit).await?));
        }
        let record = self.with.store.workspace(&self.id).await?;
        match &record {
            Some(record) => self.with.waiting.changed(&record.workspace),
            None => self.with.waiting.forgotten(&self.asker.workspace_id),
        }
        if let Some(wait) = wait {
            return Ok(Answer::Wait(claim, wait));
        }
        if let Some(found) = self.adopt().await {
            self.with.store.put_cache_entry(&found, now()).await?;
            self.with.waiting.committed(&self.place);
            return Ok(Answer::Last(self.fetch(found).await?));
        }
        let build = self.build(newest).await?;
        claim.keep();
        Ok(Answer::Last(build))
    }

    /// An image that only the registry knows of, for example because the index was lost.
    async fn adopt(&self) -> Option<CacheEntry> {
        let key = self.place.key.parse().ok()?;
        let platform = self.platform.parse().ok()?;
        let mut entry = adopt(
            &self.with.registry,
            &self.reference,
            &platform,
            &key,
            self.rights,
        )
        .await?;
        tracing::info!(
            cache.repository = entry.repository,
            cache.key = entry.key,
            cache.digest = entry.digest,
            "an image that only the registry knew of is entered into the index"
        );
        entry.config.clone_from(&self.config);
        entry.key_manifest.clone_from(&self.manifest);
        Some(entry)
    }

    async fn wait(
        &self,
        mut claim: Claim,
        wait: Wait,
        sender: &mpsc::Sender<Result<ResolveCacheResponse, Status>>,
    ) -> Result<Decision, CallError> {
        tracing::info!(
            workspace.id = self.asker.workspace_id,
            cache.key = self.place.key,
            node = wait.node,
            seconds = wait.remaining.as_secs(),
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
                        id: self.asker.workspace_id.clone(),
                        attempt: self.asker.attempt,
                    });
                }
                Outcome::Committed => match self.ask().await? {
                    Answer::Last(decision) => return Ok(decision),
                    // It was dropped again at once, and somebody was quicker to ask.
                    Answer::Wait(next, told) => {
                        claim = next;
                        wait = Some(told);
                    }
                },
            }
        }
    }

    async fn hit(&self) -> Result<Option<CacheEntry>, CallError> {
        let Place { repository, key } = &self.place;
        Ok(self.with.store.cache_hit(repository, key, now()).await?)
    }

    async fn newest(&self) -> Result<Option<CacheEntry>, CallError> {
        let store = &self.with.store;
        let repository = &self.place.repository;
        let newest = store.newest_cache_entry(repository, &self.config, &self.platform);
        Ok(newest.await?)
    }

    /// There is an image: it is fetched unless that is expected to take longer than building it.
    async fn fetch(&self, entry: CacheEntry) -> Result<Decision, CallError> {
        let rate = self.with.store.fetch_rate(&self.asker.node).await?;
        if too_slow(&entry, rate).is_none() {
            self.note(Decided::Hit, Some(entry.clone()), rate).await?;
            return Ok(Decision::Hit(entry));
        }
        let lookup = self.note(Decided::Slower, Some(entry), rate).await?;
        Ok(Decision::Build(BuildDecision {
            reasons: explain::reasons(&lookup),
            fetch_is_slower: true,
        }))
    }

    async fn build(&self, newest: Option<CacheEntry>) -> Result<Decision, CallError> {
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
        entry: Option<CacheEntry>,
        rate: Option<f64>,
    ) -> Result<Lookup, CallError> {
        let lookup = Lookup {
            workspace_id: self.asker.workspace_id.clone(),
            attempt: self.asker.attempt,
            repository: self.place.repository.clone(),
            git_ref: self.git_ref.clone(),
            config: self.config.clone(),
            platform: self.platform.clone(),
            key: self.place.key.clone(),
            manifest: self.manifest.clone(),
            decided,
            entry,
            rate,
        };
        self.with.store.put_lookup(&lookup, now()).await?;
        Ok(lookup)
    }
}

/// How long until another image like this one would be in the registry.
fn estimate(newest: &CacheEntry) -> Option<Duration> {
    let push = PUSH.as_secs_f64() + as_f64(newest.bytes) / PUSH_BYTES_PER_SECOND;
    Duration::try_from_secs_f64(newest.build_seconds + push).ok()
}

fn response(decision: Decision) -> ResolveCacheResponse {
    ResolveCacheResponse {
        decision: Some(decision),
    }
}

fn decision(wait: Wait) -> WaitDecision {
    WaitDecision {
        node: wait.node,
        seconds: wait.remaining.as_secs_f64(),
    }
}
