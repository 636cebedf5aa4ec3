use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use hearth_api::v1::agent_service_client::AgentServiceClient;
use hearth_runtime::{Tunnel, in_trace, tunnel_channel};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, service::interceptor::InterceptedService, transport::Channel};

/// How long a call waits for a node that has no connection: one that has just registered opens it.
const CONNECT: Duration = Duration::from_secs(3);
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// An event has at most 64 KiB of output, and names and numbers.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Calls of the agent of a node, which belong to the trace of who makes them.
pub(crate) type AgentClient = AgentServiceClient<InterceptedService<Channel, Traced>>;
type Traced = fn(Request<()>) -> Result<Request<()>, Status>;

/// The connections that agents keep open, one for each node on which new calls are made. Calls on one that was there before
/// go on, and it ends with them.
#[derive(Debug, Default)]
pub(crate) struct Agents(watch::Sender<HashMap<String, Connection>>);

#[derive(Debug)]
struct Connection {
    channel: Channel,
    /// Ends the call that carries it.
    ended: CancellationToken,
}

impl Agents {
    /// A client for the agent of `node`.
    pub(crate) async fn client(&self, node: &str) -> Result<AgentClient, Status> {
        let mut connections = self.0.subscribe();
        let wait = connections.wait_for(|connections| connections.contains_key(node));
        let connected = tokio::time::timeout(CONNECT, wait).await;
        let connected = connected.ok().and_then(Result::ok);
        let channel =
            connected.and_then(|connections| Some(connections.get(node)?.channel.clone()));
        let channel = channel.ok_or_else(not_connected)?;
        let client = AgentServiceClient::with_interceptor(channel, traced as Traced);
        Ok(client.max_decoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// Takes the connection of a node for new calls, if it is `allowed` to have one. It has to end with the token. False: it
    /// is not allowed.
    pub(crate) fn connect(
        &self,
        node: &str,
        tunnel: Tunnel,
        ended: CancellationToken,
        allowed: impl FnOnce() -> bool,
    ) -> bool {
        // What becomes forbidden is disconnected after that, so it is either seen here or there.
        self.0.send_if_modified(|connections| {
            let allowed = allowed();
            if allowed {
                let channel = tunnel_channel(tunnel);
                connections.insert(node.to_owned(), Connection { channel, ended });
            }
            allowed
        })
    }

    /// Forgets the connection of a node that ends with this token. False: new calls are made on another one.
    pub(crate) fn disconnected(&self, node: &str, ended: &CancellationToken) -> bool {
        // The one that took its place has another token, which nobody has cancelled.
        ended.cancel();
        self.0.send_if_modified(|connections| {
            let is_it = |known: &Connection| known.ended.is_cancelled();
            let found = connections.get(node).is_some_and(is_it);
            if found {
                connections.remove(node);
            }
            found
        })
    }

    /// Ends the connection of a node, and the calls on it.
    pub(crate) fn disconnect(&self, node: &str) {
        self.0.send_if_modified(|connections| {
            let known = connections.remove(node);
            known.is_some_and(|known| {
                known.ended.cancel();
                true
            })
        });
    }
}

fn traced(request: Request<()>) -> Result<Request<()>, Status> {
    Ok(in_trace(request))
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
