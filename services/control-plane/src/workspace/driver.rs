//! Drives one workspace from wherever its record says that it is until its attempt has settled: hands the attempt
//! to the agent, follows the agent's events by their sequence, and gives the attempt an end when the agent cannot.
//!
//! Everything it knows is in the record, so it does not matter whether the control plane was restarted in between.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt as _;
use hearth_api::v1::{
    AttemptRef, CacheAccess, CacheSkipReason, CacheTarget, Event, StartAttemptRequest,
    WatchAttemptRequest, WatchAttemptResponse, Workspace, WorkspaceState,
};
use hearth_domain::WorkspaceId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::journal::Journal;
use crate::{
    cache::{CacheRules, too_slow},
    clock::now,
    node::{Agents, Fleet, Gone, NodeView, Verdict, verdict, within},
    record::{Ending, Record},
    store::{Store, StoreError},
};

/// An agent accepts an attempt at once, but first waits until the one before it is gone.
const START: Duration = Duration::from_secs(10);
const START_AND_REPLACE: Duration = Duration::from_secs(60);
/// An agent that is alive and does not take an attempt for this long never will.
const START_ALTOGETHER: Duration = Duration::from_secs(180);
/// Until the stream of events begins; it may then be silent for as long as a build is.
const WATCH: Duration = Duration::from_secs(10);
/// Events stored in one transaction. With 64 KiB each it bounds what one driver holds in memory to 16 MiB.
const BATCH: usize = 256;

/// Why the driver stops doing what it is doing.
enum Pause {
    /// The attempt is not ours any more, or the process stops.
    Over,
    /// Try again a little later.
    Later,
    /// Another process answers for the node now: ask it.
    Ask {
        /// The boot id of that process.
        boot_id: String,
    },
    /// The attempt ends here.
    End(Ending),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for Pause {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::WorkspaceUnknown(_)
            | StoreError::AttemptOutdated { .. }
            | StoreError::Deleting(_) => Self::Over,
            StoreError::RequestIdReused
            | StoreError::Corrupt { .. }
            | StoreError::Database(_)
            | StoreError::Migrate(_) => Self::Store(error),
        }
    }
}

/// What drivers work with.
pub(crate) struct Driving {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) rules: Arc<CacheRules>,
}

struct Driver<'a> {
    with: &'a Driving,
    id: &'a WorkspaceId,
    stop: &'a CancellationToken,
    delays: ExponentialBackoff,
    began: Instant,
}

/// Drives the newest attempt of a workspace until it has settled or `stop` is cancelled.
pub(super) async fn drive(with: &Driving, id: &WorkspaceId, stop: &CancellationToken) {
    let mut driver = Driver {
        with,
        id,
        stop,
        delays: delays(),
        began: Instant::now(),
    };
    loop {
        let paused = match driver.attempt().await {
            Ok(()) | Err(Pause::Over) => return,
            Err(pause) => pause,
        };
        if let Pause::Store(error) = paused {
            tracing::error!(workspace.id = %id, %error, "the store failed; trying again");
        }
        let delay = driver.delays.next().unwrap_or(MAX_DELAY);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
    }
}

const MAX_DELAY: Duration = Duration::from_secs(5);

fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}

impl Driver<'_> {
    /// From the stored record to the end of the attempt, or to a reason to look again.
    async fn attempt(&mut self) -> Result<(), Pause> {
        let Some(record) = self.with.store.workspace(self.id).await? else {
            return Ok(());
        };
        if record.workspace.settled || record.workspace.state() == WorkspaceState::Deleting {
            return Ok(());
        }
        let attempt = record.attempt();
        match self.follow(record).await {
            Err(Pause::Ask { boot_id }) => {
                // It may know the attempt: an agent takes work from the moment it listens, and registers after that.
                let store = &self.with.store;
                store.accepted(&attempt, &boot_id, now()).await?;
                Err(Pause::Later)
            }
            Err(Pause::End(ending)) => {
                tracing::warn!(
                    workspace.id = %self.id,
                    workspace.attempt = attempt.number,
                    ?ending,
                    "the control plane ends the attempt"
                );
                self.with.journal.end(&attempt, &ending).await?;
                Ok(())
            }
            other => other,
        }
    }

    async fn follow(&mut self, record: Record) -> Result<(), Pause> {
        let record = if record.progress.boot_id.is_empty() {
            self.hand_over(record).await?
        } else {
            record
        };
        self.watch(&record).await
    }

    /// Hands the attempt to the agent. If the control plane ends before it has noted that, it hands it over again,
    /// which is no error.
    async fn hand_over(&mut self, record: Record) -> Result<Record, Pause> {
        let workspace = &record.workspace;
        let Some(node) = self.with.fleet.get(&workspace.node) else {
            return Err(Pause::End(Ending::NodeLost));
        };
        let limit = if workspace.attempt == 1 {
            START
        } else {
            START_AND_REPLACE
        };
        let request = start_request(workspace, self.cache(&record, &node).await?);
        let call = async {
            let mut client = self.with.agents.client(&node.name, &node.info.endpoint)?;
            within(limit, client.start_attempt(request)).await
        };
        match self.unless_gone(&record, call).await? {
            Ok(_) => {}
            Err(status) => return Err(self.failed(&status, Call::Start)),
        }
        self.delays = delays();
        let record = self
            .with
            .store
            .accepted(&record.attempt(), &node.info.boot_id, now())
            .await?;
        Ok(record)
    }

    /// Where the cache is, with the image that is worth fetching before the key is known.
    async fn cache(
        &self,
        record: &Record,
        node: &NodeView,
    ) -> Result<Result<CacheTarget, CacheSkipReason>, StoreError> {
        let cache = match self.with.rules.cache_use(&record.spec) {
            Ok(cache) => cache,
            Err(skip) => return Ok(Err(skip)),
        };
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
        let store = &self.with.store;
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
        Ok(Ok(target))
    }

    /// Stores what the agent says until it has said everything.
    async fn watch(&mut self, record: &Record) -> Result<(), Pause> {
        let workspace = &record.workspace;
        let Some(node) = self.with.fleet.get(&workspace.node) else {
            return Err(Pause::End(Ending::NodeLost));
        };
        let request = WatchAttemptRequest {
            attempt: Some(AttemptRef {
                workspace_id: self.id.to_string(),
                attempt: workspace.attempt,
            }),
            after_sequence: record.progress.agent_sequence,
        };
        let call = async {
            let mut client = self.with.agents.client(&node.name, &node.info.endpoint)?;
            within(WATCH, client.watch_attempt(request)).await
        };
        let events = match self.unless_gone(record, call).await? {
            Ok(events) => events,
            Err(status) => return Err(self.failed(&status, Call::Watch)),
        };
        let mut batches = pin!(events.ready_chunks(BATCH));
        while let Some(batch) = self.unless_gone(record, batches.next()).await? {
            let (events, broke) = split(batch);
            if !events.is_empty() {
                let record = self.with.journal.append(&record.attempt(), events).await?;
                self.delays = delays();
                if record.workspace.settled {
                    return Ok(());
                }
            }
            if let Some(status) = broke {
                return Err(self.failed(&status, Call::Watch));
            }
        }
        tracing::info!(
            workspace.id = %self.id,
            workspace.attempt,
            "the agent's stream ended before the attempt did; asking again"
        );
        Err(Pause::Later)
    }

    /// Waits for `work` as long as there is somebody to wait for.
    async fn unless_gone<T>(
        &self,
        record: &Record,
        work: impl Future<Output = T>,
    ) -> Result<T, Pause> {
        let (node, boot_id) = (&record.workspace.node, &record.progress.boot_id);
        tokio::select! {
            // In this order: what the agent has sent counts, even if it was the last thing it did.
            biased;
            () = self.stop.cancelled() => Err(Pause::Over),
            done = work => Ok(done),
            gone = self.with.fleet.gone(node, boot_id) => Err(match gone {
                Gone::Lost => Pause::End(Ending::NodeLost),
                Gone::Restarted(boot_id) => Pause::Ask { boot_id },
            }),
        }
    }

    fn failed(&self, status: &Status, call: Call) -> Pause {
        let (code, message) = (status.code(), status.message());
        let pause = match (verdict(code), call) {
            (Verdict::Unknown, Call::Watch) => Pause::End(Ending::AgentRestarted),
            (Verdict::Again, Call::Start) if self.began.elapsed() > START_ALTOGETHER => {
                Pause::End(Ending::Refused(message.to_owned()))
            }
            (Verdict::Again, _) => Pause::Later,
            (Verdict::Never, Call::Start) if code == Code::FailedPrecondition => {
                Pause::End(Ending::Replaced)
            }
            (Verdict::Never, _) | (Verdict::Unknown, Call::Start) => {
                Pause::End(Ending::Refused(message.to_owned()))
            }
        };
        tracing::info!(
            workspace.id = %self.id,
            grpc.code = ?code,
            grpc.message = message,
            call = ?call,
            "a call to the agent failed"
        );
        pause
    }
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Start,
    Watch,
}

/// What the agent is told so that it can prepare the workspace.
fn start_request(
    workspace: &Workspace,
    cache: Result<CacheTarget, CacheSkipReason>,
) -> StartAttemptRequest {
    let spec = workspace.spec.clone().unwrap_or_default();
    let (cache, skip) = match cache {
        Ok(target) => (Some(target), CacheSkipReason::Unspecified),
        Err(skip) => (None, skip),
    };
    StartAttemptRequest {
        attempt: Some(AttemptRef {
            workspace_id: workspace.id.clone(),
            attempt: workspace.attempt,
        }),
        spec: Some(spec),
        cache,
        cache_skip_reason: skip.into(),
    }
}

/// The events of a batch, and the failure behind them if the stream broke.
fn split(batch: Vec<Result<WatchAttemptResponse, Status>>) -> (Vec<Event>, Option<Status>) {
    let mut events = Vec::with_capacity(batch.len());
    for message in batch {
        match message {
            Ok(message) => events.extend(message.event),
            Err(status) => return (events, Some(status)),
        }
    }
    (events, None)
}
