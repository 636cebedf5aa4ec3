use std::{collections::HashMap, future::Future, time::Duration};

use hearth_api::v1::agent_service_client::AgentServiceClient;
use parking_lot::Mutex;
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

const CONNECT: Duration = Duration::from_secs(5);
/// A node that vanished without a word is noticed by its connection long before its lease ends.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// An event has at most 64 KiB of output; the rest is names and numbers.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Connections to the agents, one for each node, made when they are first used.
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
    // It was checked when the node registered.
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

/// A call that answers within `limit`, or has failed.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no answer within {} seconds",
            limit.as_secs()
        ))),
    }
}

/// What a failed call to an agent means for the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The call may succeed later: connections break, agents restart.
    Again,
    /// The agent does not know the attempt.
    Unknown,
    /// The same call will never succeed.
    Never,
}

/// Sorts the failures of calls to agents.
pub(crate) fn verdict(code: Code) -> Verdict {
    match code {
        Code::NotFound => Verdict::Unknown,
        // Unknown and Internal are also what a connection that breaks in the middle of a stream looks like.
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted
        | Code::ResourceExhausted
        | Code::Unknown
        | Code::Internal
        | Code::Ok => Verdict::Again,
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Verdict::Never,
    }
}
