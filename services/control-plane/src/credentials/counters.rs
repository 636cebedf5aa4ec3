use hearth_api::v1::CredentialProblem;
use hearth_runtime::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Problem {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Api {
    api: String,
}

/// Metrics of logins.
#[derive(Debug, Default)]
pub(super) struct Counters {
    mints: Counter,
    cached: Counter,
    problems: Family<Problem, Counter>,
    remaining: Family<Api, Gauge>,
}

impl Counters {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let counters = Self::default();
        metrics.register(|registry| {
            registry.register(
                "credential_mints",
                "Tokens that GitHub issued",
                counters.mints.clone(),
            );
            registry.register(
                "credential_cached",
                "Answers with a cached token",
                counters.cached.clone(),
            );
            registry.register(
                "credential_problems",
                "Logins that could not be issued, or have fewer rights than needed, by reason",
                counters.problems.clone(),
            );
            registry.register(
                "credential_rate_limit_remaining",
                "Requests left before GitHub's rate limit, from its newest answer",
                counters.remaining.clone(),
            );
        });
        counters
    }

    pub(super) fn minted(&self) {
        self.mints.inc();
    }

    pub(super) fn cached(&self) {
        self.cached.inc();
    }

    pub(super) fn answered(&self, problems: &[CredentialProblem]) {
        for problem in problems {
            let name = problem.reason().as_str_name();
            // The prefix is required by buf; in a label it only repeats the metric's name.
            let reason = name
                .strip_prefix("CREDENTIAL_PROBLEM_REASON_")
                .unwrap_or(name);
            self.problems.get_or_create(&Problem { reason }).inc();
        }
    }

    pub(super) fn remaining(&self, api: &str, requests: i64) {
        let api = Api {
            api: api.to_owned(),
        };
        self.remaining.get_or_create(&api).set(requests);
    }
}
