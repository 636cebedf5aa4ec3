use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use hearth_api::v1::agent_service_client::AgentServiceClient;
use hearth_runtime::{Tunnel, tunnel_channel};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status, transport::Channel};

/// How long a call waits for a node that has no connection: one that has just registered opens it.
const CONNECT: Duration = Duration::from_secs(3);
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Connections that a node may have at once: one that is new, and those on which calls still end.
const CONNECTIONS: usize = 4;
/// An event has at most 64 KiB of output, and names and numbers.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// The connections that agents keep open. New calls go over the newest of a node.
#[derive(Debug, Default)]
pub(crate) struct Agents(watch::Sender<HashMap<String, Vec<Connection>>>);

#[derive(Debug)]
struct Connection {
    channel: Channel,
    /// Ends the call that carries it.
    ended: DropGuard,
}

impl Agents {
    /// A client for the agent of `node`.
    pub(crate) async fn client(&self, node: &str) -> Result<AgentServiceClient<Channel>, Status> {
        let mut connections = self.0.subscribe();
        let wait = connections.wait_for(|connections| connections.contains_key(node));
        let connected = tokio::time::timeout(CONNECT, wait).await;
        let connected = connected.ok().and_then(Result::ok);
        let channel =
            connected.and_then(|connections| Some(connections.get(node)?.last()?.channel.clone()));
        let channel = channel.ok_or_else(not_connected)?;
        Ok(AgentServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// Takes a connection of a node, for the calls that begin from now on. It has to end with the token.
    pub(crate) fn connect(&self, node: &str, tunnel: Tunnel, ended: CancellationToken) {
        let connection = Connection {
            channel: tunnel_channel(tunnel),
            ended: ended.drop_guard(),
        };
        self.0.send_modify(|connections| {
            let of_node = connections.entry(node.to_owned()).or_default();
            if of_node.len() >= CONNECTIONS {
                of_node.remove(0);
            }
            of_node.push(connection);
        });
    }

    /// Forgets the connection of a node that ends with this token.
    pub(crate) fn disconnected(&self, node: &str, ended: &CancellationToken) {
        ended.cancel();
        self.0.send_if_modified(|connections| {
            let Some(of_node) = connections.get_mut(node) else {
                return false;
            };
            let before = of_node.len();
            of_node.retain(|one| !one.ended.token().is_cancelled());
            let changed = of_node.len() < before;
            if of_node.is_empty() {
                connections.remove(node);
            }
            changed
        });
    }

    /// Ends the connections of a node.
    pub(crate) fn disconnect(&self, node: &str) {
        self.0
            .send_if_modified(|connections| connections.remove(node).is_some());
    }
}

/// Its source tells it from an answer of the agent.
fn not_connected() -> Status {
    let why = "the node has no connection to the control plane";
    let mut status = Status::unavailable(why);
    status.set_source(Arc::new(std::io::Error::new(
        std::io::ErrorKind::NotConnected,
        why,
    )));
    status
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
