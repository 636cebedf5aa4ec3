//! The calls that enter workspaces: their first messages are read here, and the rest is passed on.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use hearth_api::v1::{
    AgentServiceExecRequest, AgentServiceExecResponse, AgentServiceOpenSshRequest,
    AgentServiceOpenSshResponse, AgentServicePortForwardRequest, AgentServicePortForwardResponse,
    exec_request, open_ssh_request, port_forward_request,
};
use hearth_runtime::FieldFaults;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::enter::{EnterError, Entering, MAX_CHUNK, Target, command};

/// Messages that wait for a client that does not read.
const WAITING: usize = 2;

pub(super) type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// The messages of an answer, and where they are sent to.
fn answers<T: Send + 'static, U: Send + 'static>(
    wrap: fn(T) -> U,
) -> (mpsc::Sender<Result<T, Status>>, Answers<U>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let receiver = ReceiverStream::<Result<T, Status>>::new(receiver);
    let wrapped = receiver.map(move |answer| answer.map(wrap));
    (sender, wrapped.boxed())
}

fn missing() -> Status {
    EnterError::Message("begin: has to be the first message").into()
}

pub(super) async fn exec(
    entering: &Arc<Entering>,
    mut requests: Streaming<AgentServiceExecRequest>,
) -> Result<Answers<AgentServiceExecResponse>, Status> {
    let first = requests.message().await?.ok_or_else(missing)?;
    let message = first.request.and_then(|request| request.message);
    let Some(exec_request::Message::Begin(begin)) = message else {
        return Err(missing());
    };
    let mut faults = FieldFaults::default();
    let target = Target::read(first.target, &mut faults);
    let wanted = command(begin.command.unwrap_or_default(), &mut faults);
    let (target, wanted) = faults.complete(target.zip(wanted))?;
    let inside = entering.enter(target).await?;
    let (sender, answers) = answers(|response| AgentServiceExecResponse {
        response: Some(response),
    });
    let requests = requests.map(|request| Ok(request?.request.unwrap_or_default()));
    inside.exec(wanted, requests, sender).await?;
    Ok(answers)
}

pub(super) async fn open_ssh(
    entering: &Arc<Entering>,
    mut requests: Streaming<AgentServiceOpenSshRequest>,
) -> Result<Answers<AgentServiceOpenSshResponse>, Status> {
    let first = requests.message().await?.ok_or_else(missing)?;
    let message = first.request.and_then(|request| request.message);
    let Some(open_ssh_request::Message::Begin(_)) = message else {
        return Err(missing());
    };
    let mut faults = FieldFaults::default();
    let target = Target::read(first.target, &mut faults);
    let inside = entering.enter(faults.complete(target)?).await?;
    let (sender, answers) = answers(|response| AgentServiceOpenSshResponse {
        response: Some(response),
    });
    let pieces = pieces(requests.map(|request| {
        let message = request?.request.and_then(|request| request.message);
        match message {
            Some(open_ssh_request::Message::Data(bytes)) => Ok(bytes),
            Some(open_ssh_request::Message::Begin(_)) => Err(missing()),
            None => Ok(Bytes::new()),
        }
    }));
    inside.ssh(pieces, sender).await?;
    Ok(answers)
}

pub(super) async fn port_forward(
    entering: &Arc<Entering>,
    mut requests: Streaming<AgentServicePortForwardRequest>,
) -> Result<Answers<AgentServicePortForwardResponse>, Status> {
    let first = requests.message().await?.ok_or_else(missing)?;
    let message = first.request.and_then(|request| request.message);
    let Some(port_forward_request::Message::Begin(begin)) = message else {
        return Err(missing());
    };
    let mut faults = FieldFaults::default();
    let target = Target::read(first.target, &mut faults);
    let port = u16::try_from(begin.port).ok().filter(|port| *port > 0);
    let port = faults.check("port", port.ok_or("is no port: 1 to 65535"));
    let (target, port) = faults.complete(target.zip(port))?;
    let inside = entering.enter(target).await?;
    let (sender, answers) = answers(|response| AgentServicePortForwardResponse {
        response: Some(response),
    });
    let pieces = pieces(requests.map(|request| {
        let message = request?.request.and_then(|request| request.message);
        match message {
            Some(port_forward_request::Message::Data(bytes)) => Ok(bytes),
            Some(port_forward_request::Message::Begin(_)) => Err(missing()),
            None => Ok(Bytes::new()),
        }
    }));
    inside.forward(port, pieces, sender).await?;
    Ok(answers)
}

/// The bytes of messages that are not too large.
fn pieces(
    messages: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    messages.map(|bytes| {
        let bytes = bytes?;
        match bytes.len() <= MAX_CHUNK {
            true => Ok(bytes),
            false => Err(EnterError::Message("data: has more than 64 KiB").into()),
        }
    })
}
