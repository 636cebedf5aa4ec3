use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use tokio::time::Instant;
use tonic::Code;

use crate::{Metrics, Reason};

const SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0];

/// What is counted of the calls that a process serves, and of the connections that they come on.
#[derive(Clone, Debug)]
pub struct CallMetrics {
    calls: Family<Ended, Counter>,
    seconds: Family<Rpc, Histogram, fn() -> Histogram>,
    open: Family<Rpc, Gauge>,
    refused: Family<Why, Counter>,
    connections: Gauge,
    connections_refused: Family<Why, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rpc {
    rpc: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    rpc: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

impl CallMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        let counted = Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            open: Family::default(),
            refused: Family::default(),
            connections: Gauge::default(),
            connections_refused: Family::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "rpc_calls",
                "Calls that have ended, by RPC and code of gRPC",
                counted.calls.clone(),
            );
            registry.register(
                "rpc_call_seconds",
                "How long calls took, streams until they ended",
                counted.seconds.clone(),
            );
            registry.register("rpc_calls_open", "Open calls", counted.open.clone());
            registry.register(
                "rpc_calls_refused",
                "Calls that were refused because there were too many",
                counted.refused.clone(),
            );
            registry.register(
                "rpc_connections_open",
                "Open connections",
                counted.connections.clone(),
            );
            registry.register(
                "rpc_connections_refused",
                "Connections that were closed before a call: TOO_MANY of their caller, OVERLOADED: too many in all, or NO_HTTP2",
                counted.connections_refused.clone(),
            );
        });
        counted
    }

    /// A call begins.
    pub(super) fn begins(&self, rpc: &'static str) -> Counted {
        self.open.get_or_create(&Rpc { rpc }).inc();
        Counted {
            metrics: self.clone(),
            rpc,
            began: Instant::now(),
            // What is dropped without an end was given up by its caller.
            code: Code::Cancelled,
        }
    }

    /// A call was refused.
    pub(super) fn refused(&self, reason: Reason) {
        let reason = reason.as_str();
        self.refused.get_or_create(&Why { reason }).inc();
    }

    /// A connection was refused.
    pub(crate) fn connection_refused(&self, reason: &'static str) {
        let why = Why { reason };
        self.connections_refused.get_or_create(&why).inc();
    }

    /// The number of open connections changes.
    pub(crate) fn connections(&self) -> &Gauge {
        &self.connections
    }
}

/// A call, which is counted when this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    metrics: CallMetrics,
    rpc: &'static str,
    began: Instant,
    code: Code,
}

impl Counted {
    /// How it ended.
    pub(super) fn ended(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Self { metrics, rpc, .. } = self;
        let rpc = Rpc { rpc };
        metrics.open.get_or_create(&rpc).dec();
        let seconds = self.began.elapsed().as_secs_f64();
        metrics.seconds.get_or_create(&rpc).observe(seconds);
        let ended = Ended {
            rpc: rpc.rpc,
            code: name(self.code),
        };
        metrics.calls.get_or_create(&ended).inc();
    }
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
