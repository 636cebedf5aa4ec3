use std::time::Duration;

use hearth_api::v1::{CacheResult, PushOutcome, WorkspaceState, event::Kind};
use hearth_runtime::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
};

/// Counters of attempts, cache results and pushes.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    attempts: Family<Label, Counter>,
    cache: Family<Label, Counter>,
    pushes: Family<Label, Counter>,
    audits: Family<Label, Counter>,
    ready_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    outcome: &'static str,
}

impl AgentMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self {
            attempts: Family::default(),
            cache: Family::default(),
            pushes: Family::default(),
            audits: Family::default(),
            // A quarter of a second to an hour.
            ready_seconds: Histogram::new(exponential_buckets(0.25, 2.0, 14)),
        };
        metrics.register(|registry| {
            registry.register(
                "agent_attempts",
                "Attempts by how they ended",
                this.attempts.clone(),
            );
            registry.register(
                "agent_cache_results",
                "Cache results of attempts",
                this.cache.clone(),
            );
            registry.register(
                "agent_pushes",
                "Background pushes by outcome",
                this.pushes.clone(),
            );
            registry.register(
                "agent_cache_audits",
                "Audits of exact hits by what BuildKit said: AGREES; EXECUTES a step, or DIFFERS in the configuration (the image may be wrong); \
                 OWN_STEPS of the node, OTHER_BUILDER, UNKNOWN (it cannot be told)",
                this.audits.clone(),
            );
            registry.register(
                "agent_ready_seconds",
                "Seconds from the start of an attempt until its workspace was ready",
                this.ready_seconds.clone(),
            );
        });
        this
    }

    /// Counts an event; `since_start` is the time since the attempt began.
    pub fn count(&self, kind: &Kind, since_start: Duration) {
        match kind {
            Kind::StateChanged(changed) => match changed.state() {
                state @ (WorkspaceState::Ready | WorkspaceState::Recovery) => {
                    self.ready_seconds.observe(since_start.as_secs_f64());
                    self.attempt(state.as_str_name());
                }
                state @ WorkspaceState::Failed => self.attempt(state.as_str_name()),
                _ => {}
            },
            Kind::Cache(report) => {
                self.cache
                    .get_or_create(&Label {
                        outcome: result_name(report.result()),
                    })
                    .inc();
            }
            Kind::Push(report) => {
                self.pushes
                    .get_or_create(&Label {
                        outcome: outcome_name(report.outcome()),
                    })
                    .inc();
            }
            _ => {}
        }
    }

    /// Counts an audit of a hit.
    pub fn audited(&self, outcome: &'static str) {
        self.audits.get_or_create(&Label { outcome }).inc();
    }

    fn attempt(&self, outcome: &'static str) {
        self.attempts
            .get_or_create(&Label {
                outcome: outcome.trim_start_matches("WORKSPACE_STATE_"),
            })
            .inc();
    }
}

fn result_name(result: CacheResult) -> &'static str {
    result.as_str_name().trim_start_matches("CACHE_RESULT_")
}

fn outcome_name(outcome: PushOutcome) -> &'static str {
    outcome.as_str_name().trim_start_matches("PUSH_OUTCOME_")
}
