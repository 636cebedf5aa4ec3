use std::{sync::Arc, time::Duration};

use hearth_api::v1::{
    CacheReport, Failure, PushReport, StateChanged, WorkspaceState as State, event::Kind,
};
use hearth_runtime::{Metrics, Reason};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    node::{Fleet, Standing},
    store::{Change, Count, Store},
};

/// How often the numbers of workspaces and nodes are updated.
const PERIOD: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// The control plane's metrics. Outcomes are counted when their event enters the log, so events that are read again after
/// a restart are not counted twice.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    events: Counter,
    attempts: Family<Outcome, Counter>,
    cache: Family<Outcome, Counter>,
    pushes: Family<Outcome, Counter>,
    refused: Family<Refusal, Counter>,
    workspaces: Family<InState, Gauge>,
    nodes: Family<InState, Gauge>,
}

impl Counters {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let counters = Self::default();
        metrics.register(|registry| {
            registry.register(
                "events_appended",
                "Events that entered the log of a workspace",
                counters.events.clone(),
            );
            registry.register(
                "attempts",
                "Attempts by outcome: READY, RECOVERY or the reason of the failure",
                counters.attempts.clone(),
            );
            registry.register(
                "cache_results",
                "Results of the cache, one for each attempt that reported one",
                counters.cache.clone(),
            );
            registry.register(
                "pushes",
                "Background pushes by outcome",
                counters.pushes.clone(),
            );
            registry.register(
                "calls_refused",
                "Calls that were not let in, by reason",
                counters.refused.clone(),
            );
            registry.register(
                "workspaces",
                "Workspaces by state",
                counters.workspaces.clone(),
            );
            registry.register("nodes", "Nodes by state", counters.nodes.clone());
        });
        counters
    }

    /// Counts a call that was not let in.
    pub(crate) fn refused(&self, reason: Reason) {
        let reason = reason.as_str();
        self.refused.get_or_create(&Refusal { reason }).inc();
    }

    /// Counts what entered a log.
    pub(crate) fn appended(&self, Change { record, entries }: &Change) {
        self.events
            .inc_by(u64::try_from(entries.len()).unwrap_or(u64::MAX));
        for entry in entries {
            match &entry.event.kind {
                // An attempt is counted once, also when it is in RECOVERY after it was READY.
                Some(Kind::StateChanged(_)) if record.was_ready_before(&entry.event) => {}
                Some(Kind::StateChanged(change)) => {
                    if let Some(outcome) = attempt_outcome(change) {
                        self.attempts.get_or_create(&Outcome { outcome }).inc();
                    }
                }
                Some(Kind::Cache(report)) => {
                    let outcome = cache_outcome(report);
                    self.cache.get_or_create(&Outcome { outcome }).inc();
                }
                Some(Kind::Push(report)) => {
                    let outcome = push_outcome(report);
                    self.pushes.get_or_create(&Outcome { outcome }).inc();
                }
                _ => {}
            }
        }
    }

    /// Sets the numbers of workspaces and nodes.
    pub(crate) fn show(&self, counts: &[Count], nodes: &[Standing]) {
        for state in STATES {
            let workspaces: i64 = counts
                .iter()
                .filter(|count| count.state == state)
                .map(|count| i64::from(count.workspaces))
                .sum();
            let state = trimmed(state.as_str_name(), "WORKSPACE_STATE_");
            self.workspaces
                .get_or_create(&InState { state })
                .set(workspaces);
        }
        for (state, standing) in [
            ("ONLINE", Standing::Online),
            ("LOST", Standing::Lost),
            ("LEFT", Standing::Left),
            ("UNAVAILABLE", Standing::Unavailable),
            ("EXPECTED", Standing::Expected),
        ] {
            let nodes = nodes.iter().filter(|node| **node == standing).count();
            self.nodes
                .get_or_create(&InState { state })
                .set(i64::try_from(nodes).unwrap_or(i64::MAX));
        }
    }
}

/// Keeps the numbers of workspaces and nodes true until `stopping`.
pub(crate) async fn show_metrics(
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    counters: Arc<Counters>,
    stopping: CancellationToken,
) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match store.counts().await {
            Ok(counts) => {
                let nodes = fleet.all().into_iter();
                let standings: Vec<_> = nodes.map(|node| node.standing).collect();
                counters.show(&counts, &standings);
            }
            Err(error) => tracing::warn!(%error, "cannot count workspaces"),
        }
    }
}

const STATES: [State; 8] = [
    State::Pending,
    State::Preparing,
    State::Ready,
    State::Recovery,
    State::Failed,
    State::Deleting,
    State::Stopping,
    State::Stopped,
];

fn attempt_outcome(change: &StateChanged) -> Option<&'static str> {
    match change.state() {
        State::Ready => Some("READY"),
        State::Recovery => Some("RECOVERY"),
        State::Failed => {
            let reason = change
                .failure
                .as_ref()
                .map(Failure::reason)
                .unwrap_or_default();
            Some(trimmed(reason.as_str_name(), "FAILURE_REASON_"))
        }
        // Of an attempt at starting; what is stopped later comes after its outcome.
        State::Stopped => Some("STOPPED"),
        State::Unspecified
        | State::Pending
        | State::Preparing
        | State::Deleting
        | State::Stopping
        | State::Lost => None,
    }
}

fn cache_outcome(report: &CacheReport) -> &'static str {
    trimmed(report.result().as_str_name(), "CACHE_RESULT_")
}

fn push_outcome(report: &PushReport) -> &'static str {
    trimmed(report.outcome().as_str_name(), "PUSH_OUTCOME_")
}

/// The prefix is required by buf; in a label it only repeats the metric's name.
fn trimmed(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}
