use std::{collections::HashMap, future::Future, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use hearth_api::v1::agent_service_client::AgentServiceClient;
use parking_lot::Mutex;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

const CONNECT: Duration = Duration::from_secs(5);
/// A node that disappears is noticed by its connection long before its lease ends.
const KEEPALIVE: Duration = Duration::from_secs(10);
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// An event has at most 64 KiB of output, and names and numbers.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Connections to agents, one for each node, opened when first used.
#[derive(Debug, Default)]
pub(crate) struct Agents(Mutex<HashMap<String, (String, Channel)>>);

impl Agents {
    /// A client for the agent of `node`, which listens at `endpoint`.
    pub(crate) fn client(
        &self,
        node: &str,
        endpoint: &str,
    ) -> Result<AgentServiceClient<Channel>, Status> {
        let mut channels = self.0.lock();
        let channel = match channels.get(node) {
            Some((known, channel)) if known == endpoint => channel.clone(),
            _ => {
                let channel = connect(endpoint)?;
                channels.insert(node.to_owned(), (endpoint.to_owned(), channel.clone()));
                channel
            }
        };
        Ok(AgentServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES))
    }
}

fn connect(endpoint: &str) -> Result<Channel, Status> {
    // The endpoint was checked when the node registered.
    let endpoint = Endpoint::from_shared(endpoint.to_owned())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

/// Pauses between calls to an agent that failed, with jitter, so that not all call it at once.
pub(crate) fn calls_again() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(MIN_PAUSE)
        .with_max_delay(MAX_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Fails a call that has not answered within `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no answer within {} seconds",
            limit.as_secs()
        ))),
    }
}

/// What the failure of a call to an agent means for the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The call may succeed later.
    Again,
    /// The same; and nothing was begun: nobody answers there, or the agent takes no work now.
    Away,
    /// The agent does not know the attempt.
    Unknown,
    /// The agent knows a newer attempt of the workspace.
    Outdated,
    /// The same call will never succeed.
    Never,
}

/// Classifies the failures of calls to agents.
pub(crate) fn verdict(code: Code) -> Verdict {
    match code {
        Code::NotFound => Verdict::Unknown,
        Code::FailedPrecondition => Verdict::Outdated,
        // A connection that breaks during a stream shows as Unknown or Internal, too.
        Code::Unavailable => Verdict::Away,
        Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted
        | Code::ResourceExhausted
        | Code::Unknown
        | Code::Internal
        | Code::Ok => Verdict::Again,
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Verdict::Never,
    }
}
