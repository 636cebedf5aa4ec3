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

/// What is counted about logins.
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
                "Tokens that GitHub made",
                counters.mints.clone(),
            );
            registry.register(
                "credential_cached",
                "Answers with a token that was there already",
                counters.cached.clone(),
            );
            registry.register(
                "credential_problems",
                "Logins that could not be had, or have fewer rights than needed, by reason",
                counters.problems.clone(),
            );
            registry.register(
                "credential_rate_limit_remaining",
                "Requests that GitHub takes before the limit is reset, as it said last",
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
            // The prefix is there because buf wants it; in a label it only repeats the metric's name.
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
