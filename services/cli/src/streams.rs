//! Streams of a workspace's events: PrepareWorkspace begins one, WatchWorkspace resumes it.

use futures_util::{StreamExt as _, stream::BoxStream};
use hearth_api::v1::{
    Event, PrepareWorkspaceRequest, StartWorkspaceRequest, WatchWorkspaceRequest, Workspace,
    prepare_workspace_response as prepared, start_workspace_response as started,
    watch_workspace_response as watched, workspace_service_client::WorkspaceServiceClient,
};
use tonic::Status;

use crate::connect::Channel;

/// A message of either stream.
pub(crate) enum Message {
    Snapshot(Box<Workspace>),
    Event(Box<Event>),
}

/// `None` stands for a message of a kind that this client does not know yet.
pub(crate) type Messages = BoxStream<'static, Result<Option<Message>, Status>>;

type Client = WorkspaceServiceClient<Channel>;

pub(crate) async fn prepare(
    client: &mut Client,
    request: PrepareWorkspaceRequest,
) -> Result<Messages, Status> {
    let messages = client.prepare_workspace(request).await?.into_inner();
    Ok(messages
        .map(|message| Ok(message?.message.map(Message::from)))
        .boxed())
}

pub(crate) async fn start(
    client: &mut Client,
    request: StartWorkspaceRequest,
) -> Result<Messages, Status> {
    let messages = client.start_workspace(request).await?.into_inner();
    Ok(messages
        .map(|message| Ok(message?.message.map(Message::from)))
        .boxed())
}

pub(crate) async fn watch(
    client: &mut Client,
    request: WatchWorkspaceRequest,
) -> Result<Messages, Status> {
    let messages = client.watch_workspace(request).await?.into_inner();
    Ok(messages
        .map(|message| Ok(message?.message.map(Message::from)))
        .boxed())
}

impl From<prepared::Message> for Message {
    fn from(message: prepared::Message) -> Self {
        match message {
            prepared::Message::Snapshot(workspace) => Self::Snapshot(Box::new(workspace)),
            prepared::Message::Event(event) => Self::Event(Box::new(event)),
        }
    }
}

impl From<started::Message> for Message {
    fn from(message: started::Message) -> Self {
        match message {
            started::Message::Snapshot(workspace) => Self::Snapshot(Box::new(workspace)),
            started::Message::Event(event) => Self::Event(Box::new(event)),
        }
    }
}

impl From<watched::Message> for Message {
    fn from(message: watched::Message) -> Self {
        match message {
            watched::Message::Snapshot(workspace) => Self::Snapshot(Box::new(workspace)),
            watched::Message::Event(event) => Self::Event(Box::new(event)),
        }
    }
}
