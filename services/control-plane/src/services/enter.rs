//! The calls that enter workspaces: the first message says which one and is checked, and from then on what the client and
//! the agent of its node say is passed on as it comes, no faster than the other side takes it.

use std::{
    future::ready,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _, stream};
use hearth_api::v1::{
    AgentServiceExecRequest, AgentServiceOpenSshRequest, AgentServicePortForwardRequest,
    ExecRequest, ExecResponse, OpenSshRequest, OpenSshResponse, PortForwardRequest,
    PortForwardResponse, exec_request, open_ssh_request, port_forward_request,
};
use hearth_runtime::{Reason, status};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt as _;

use super::{responses::Responses, validate};
use crate::{
    access::Caller,
    enter::{Entrance, Entrances},
    error::CallError,
    workspace::Use,
};

/// Both ways of a session end together.
struct Session<S> {
    answers: S,
    _ends_the_other: DropGuard,
    _in_use: Use,
}

impl<S: Stream + Unpin> Stream for Session<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.answers.poll_next_unpin(cx)
    }
}

pub(super) async fn exec(
    entrances: &Entrances,
    request: Request<Streaming<ExecRequest>>,
) -> Result<Responses<ExecResponse>, Status> {
    let caller = Caller::of(&request)?;
    let mut requests = request.into_inner();
    let first = requests.message().await?.ok_or_else(missing)?;
    let Some(exec_request::Message::Begin(begin)) = &first.message else {
        return Err(missing());
    };
    let mut entrance = enter(entrances, &caller, &begin.workspace_id).await?;
    let first = AgentServiceExecRequest {
        target: Some(entrance.target.clone()),
        request: Some(first),
    };
    let gone = CancellationToken::new();
    let messages = messages(first, requests, &gone, |request| AgentServiceExecRequest {
        target: None,
        request: Some(request),
    });
    let answers = entrance.agent.exec(messages).await;
    let answers = answers.map_err(|status| of_agent(&entrance.node, status))?;
    Ok(session(entrance, gone, answers.into_inner(), |answer| {
        answer.response.unwrap_or_default()
    }))
}

pub(super) async fn open_ssh(
    entrances: &Entrances,
    request: Request<Streaming<OpenSshRequest>>,
) -> Result<Responses<OpenSshResponse>, Status> {
    let caller = Caller::of(&request)?;
    let mut requests = request.into_inner();
    let first = requests.message().await?.ok_or_else(missing)?;
    let Some(open_ssh_request::Message::Begin(begin)) = &first.message else {
        return Err(missing());
    };
    let mut entrance = enter(entrances, &caller, &begin.workspace_id).await?;
    let first = AgentServiceOpenSshRequest {
        target: Some(entrance.target.clone()),
        request: Some(first),
    };
    let gone = CancellationToken::new();
    let messages = messages(first, requests, &gone, |request| {
        AgentServiceOpenSshRequest {
            target: None,
            request: Some(request),
        }
    });
    let answers = entrance.agent.open_ssh(messages).await;
    let answers = answers.map_err(|status| of_agent(&entrance.node, status))?;
    Ok(session(entrance, gone, answers.into_inner(), |answer| {
        answer.response.unwrap_or_default()
    }))
}

pub(super) async fn port_forward(
    entrances: &Entrances,
    request: Request<Streaming<PortForwardRequest>>,
) -> Result<Responses<PortForwardResponse>, Status> {
    let caller = Caller::of(&request)?;
    let mut requests = request.into_inner();
    let first = requests.message().await?.ok_or_else(missing)?;
    let Some(port_forward_request::Message::Begin(begin)) = &first.message else {
        return Err(missing());
    };
    let mut entrance = enter(entrances, &caller, &begin.workspace_id).await?;
    let first = AgentServicePortForwardRequest {
        target: Some(entrance.target.clone()),
        request: Some(first),
    };
    let gone = CancellationToken::new();
    let messages = messages(first, requests, &gone, |request| {
        AgentServicePortForwardRequest {
            target: None,
            request: Some(request),
        }
    });
    let answers = entrance.agent.port_forward(messages).await;
    let answers = answers.map_err(|status| of_agent(&entrance.node, status))?;
    Ok(session(entrance, gone, answers.into_inner(), |answer| {
        answer.response.unwrap_or_default()
    }))
}

fn missing() -> Status {
    status(Reason::InvalidField, "begin has to be the first message")
}

async fn enter(
    entrances: &Entrances,
    caller: &Caller,
    workspace: &str,
) -> Result<Entrance, CallError> {
    let id = validate::workspace_id(workspace)?;
    entrances.enter(caller, &id).await
}

/// What the agent is sent: until the client has ended it, or is gone.
fn messages<T: Send + 'static, U: Send + 'static>(
    first: U,
    requests: Streaming<T>,
    gone: &CancellationToken,
    wrap: fn(T) -> U,
) -> impl Stream<Item = U> + Send + 'static {
    let rest = requests
        .take_while(|request| ready(request.is_ok()))
        .filter_map(|request| ready(request.ok()))
        .map(wrap)
        .take_until(gone.clone().cancelled_owned());
    stream::once(ready(first)).chain(rest)
}

/// What the client is sent. When it is gone, or may not call any more, the agent hears no more of it, and of that.
fn session<T: Send + 'static, U: Send + 'static>(
    entrance: Entrance,
    gone: CancellationToken,
    answers: Streaming<T>,
    unwrap: fn(T) -> U,
) -> Responses<U> {
    let Entrance { node, in_use, .. } = entrance;
    let answers =
        answers.map(move |answer| answer.map(unwrap).map_err(|status| of_agent(&node, status)));
    Box::pin(Session {
        answers,
        _ends_the_other: gone.drop_guard(),
        _in_use: in_use,
    })
}

/// What an agent says is passed on. What says nothing comes from a connection that has broken.
fn of_agent(node: &str, status: Status) -> Status {
    match status.get_details_error_info() {
        Some(_) => status,
        None => CallError::AgentFailed {
            node: node.to_owned(),
            why: "the connection to its agent was lost, and the session with it; its command is ended. Open another session"
                .to_owned(),
        }
        .into(),
    }
}
