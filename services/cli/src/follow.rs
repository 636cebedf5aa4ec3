use std::time::Duration;

use futures_util::{StreamExt as _, stream::BoxStream};
use hearth_api::v1::{
    Event, GetWorkspaceRequest, PrepareWorkspaceRequest, WatchUntil, WatchWorkspaceRequest,
    Workspace, prepare_workspace_response as prepared, watch_workspace_response as watched,
    workspace_service_client::WorkspaceServiceClient,
};
use tokio::time::{Instant, sleep};
use tonic::{Status, transport::Channel};

use crate::{
    error::{CliError, Meaning, meaning},
    over::Over,
    patience::Patience,
    render::clean::line,
};

/// A stream that lasted this long was a good one, even when nothing happened on it.
const GOOD_STREAM: Duration = Duration::from_secs(10);

/// What a follower tells.
#[derive(Debug)]
pub(crate) enum Update {
    /// The workspace as it was when the first stream began. Told once, before anything else.
    Snapshot(Box<Workspace>),
    /// The next event. No event is told twice.
    Event(Box<Event>),
    /// Something about the connection that a person wants to know.
    Note(String),
}

/// What opens the next stream.
#[derive(Debug)]
enum Opening {
    /// Until there is a snapshot: the request id makes repeating safe.
    Prepare(PrepareWorkspaceRequest),
    /// From then on.
    Watch(String),
}

enum Message {
    Snapshot(Box<Workspace>),
    Event(Box<Event>),
}

type Messages = BoxStream<'static, Result<Option<Message>, Status>>;

/// Reads a workspace's log over as many streams as it takes.
///
/// ```text
/// Prepare ──snapshot──▶ Watch(after the last event) ◀──┐
///    │  ▲                  │                           │ broken: wait, then open the next stream
///    └──┘ broken           └───────────────────────────┘
/// ```
pub(crate) struct Follower {
    client: WorkspaceServiceClient<Channel>,
    opening: Opening,
    until: WatchUntil,
    /// Sequence of the last event that was told.
    cursor: u64,
    stream: Option<(Messages, Instant)>,
    /// An event that waits until the note about the ones before it is told.
    held: Option<Box<Event>>,
    /// When the next stream may be opened.
    not_before: Option<Instant>,
    /// What the log says so far, or the newest snapshot.
    over: Over,
    told_snapshot: bool,
    patience: Patience,
}

impl Follower {
    /// Prepares a workspace and follows it.
    pub(crate) fn prepare(
        channel: Channel,
        request: PrepareWorkspaceRequest,
        patience: Patience,
    ) -> Self {
        let until = request.until();
        Self::new(channel, Opening::Prepare(request), until, 0, patience)
    }

    /// Follows a workspace from the event after `cursor`.
    pub(crate) fn watch(
        channel: Channel,
        workspace_id: String,
        cursor: u64,
        patience: Patience,
    ) -> Self {
        let opening = Opening::Watch(workspace_id);
        Self::new(channel, opening, WatchUntil::Settled, cursor, patience)
    }

    fn new(
        channel: Channel,
        opening: Opening,
        until: WatchUntil,
        cursor: u64,
        patience: Patience,
    ) -> Self {
        Self {
            client: WorkspaceServiceClient::new(channel),
            opening,
            until,
            cursor,
            stream: None,
            held: None,
            not_before: None,
            over: Over::default(),
            told_snapshot: false,
            patience,
        }
    }

    /// What comes next; `None` when the log has come to the end that was asked for.
    pub(crate) async fn next(&mut self) -> Result<Option<Update>, CliError> {
        if let Some(event) = self.held.take() {
            return Ok(self.take(Message::Event(event)));
        }
        loop {
            if let Some(time) = self.not_before.take() {
                tokio::time::sleep_until(time).await;
            }
            let Some((stream, _)) = &mut self.stream else {
                match self.open().await {
                    Ok(stream) => self.stream = Some((stream, Instant::now())),
                    Err(status) => {
                        if let Some(note) = self.broke(status)? {
                            return Ok(Some(Update::Note(note)));
                        }
                    }
                }
                continue;
            };
            match stream.next().await {
                Some(Ok(message)) => {
                    if let Some(update) = message.and_then(|message| self.take(message)) {
                        return Ok(Some(update));
                    }
                }
                Some(Err(status)) => {
                    if let Some(note) = self.broke(status)? {
                        return Ok(Some(Update::Note(note)));
                    }
                }
                None if self.over.is_reached(self.until) => return Ok(None),
                None => {
                    let ended = Status::unavailable("the stream ended too early");
                    if let Some(note) = self.broke(ended)? {
                        return Ok(Some(Update::Note(note)));
                    }
                }
            }
        }
    }

    /// The workspace as it is now.
    pub(crate) async fn workspace(&mut self) -> Result<Workspace, CliError> {
        let workspace_id = match &self.opening {
            Opening::Watch(id) => id.clone(),
            Opening::Prepare(request) => request.workspace_id.clone(),
        };
        loop {
            let request = GetWorkspaceRequest {
                workspace_id: workspace_id.clone(),
            };
            match self.client.get_workspace(request).await {
                Ok(response) => return Ok(response.into_inner().workspace.unwrap_or_default()),
                Err(status) => match meaning(&status) {
                    Meaning::Broken { hint } => sleep(self.pause(hint, status)?).await,
                    Meaning::Trimmed { .. } | Meaning::Answer => {
                        return Err(CliError::Call(Box::new(status)));
                    }
                },
            }
        }
    }

    async fn open(&mut self) -> Result<Messages, Status> {
        match &self.opening {
            Opening::Prepare(request) => {
                let response = self.client.prepare_workspace(request.clone()).await?;
                let messages = response.into_inner().map(|message| {
                    Ok(message?.message.map(|message| match message {
                        prepared::Message::Snapshot(workspace) => {
                            Message::Snapshot(Box::new(workspace))
                        }
                        prepared::Message::Event(event) => Message::Event(Box::new(event)),
                    }))
                });
                Ok(messages.boxed())
            }
            Opening::Watch(workspace_id) => {
                let request = WatchWorkspaceRequest {
                    workspace_id: workspace_id.clone(),
                    after_sequence: self.cursor,
                    until: self.until.into(),
                };
                let response = self.client.watch_workspace(request).await?;
                let messages = response.into_inner().map(|message| {
                    Ok(message?.message.map(|message| match message {
                        watched::Message::Snapshot(workspace) => {
                            Message::Snapshot(Box::new(workspace))
                        }
                        watched::Message::Event(event) => Message::Event(Box::new(event)),
                    }))
                });
                Ok(messages.boxed())
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<Update> {
        match message {
            Message::Snapshot(workspace) => {
                self.over.snapshot(&workspace);
                if let Opening::Prepare(request) = &self.opening {
                    // Events of a prepared stream follow its snapshot; those of a watched one follow our cursor.
                    self.cursor = workspace.last_sequence;
                    if request.workspace_id.is_empty() && self.cursor > 0 {
                        // An earlier call with this request id has made the workspace, perhaps one of ours whose
                        // answer was lost: its whole log is what was asked for.
                        self.cursor = 0;
                        self.stream = None;
                    }
                    self.opening = Opening::Watch(workspace.id.clone());
                }
                if self.told_snapshot {
                    let resumed = format!("connected again; going on after event {}", self.cursor);
                    return self.patience.is_tried().then_some(Update::Note(resumed));
                }
                self.told_snapshot = true;
                Some(Update::Snapshot(workspace))
            }
            Message::Event(event) if event.sequence <= self.cursor => None,
            // Whoever asks for everything gets what is kept.
            Message::Event(event) if event.sequence > self.cursor + 1 => {
                let note = self.skip_to(event.sequence);
                self.held = Some(event);
                Some(Update::Note(note))
            }
            Message::Event(event) => {
                self.cursor = event.sequence;
                self.patience.succeeded();
                self.over.event(&event);
                Some(Update::Event(event))
            }
        }
    }

    /// Makes ready for the next stream. The first failure in a row is worth a note.
    fn broke(&mut self, status: Status) -> Result<Option<String>, CliError> {
        if let Some((_, since)) = self.stream.take()
            && since.elapsed() >= GOOD_STREAM
        {
            self.patience.succeeded();
        }
        match meaning(&status) {
            Meaning::Broken { hint } => {
                let first = !self.patience.is_tried();
                let why = line(status.message());
                let pause = self.pause(hint, status)?;
                self.not_before = Some(Instant::now() + pause);
                Ok(first.then(|| {
                    format!(
                        "the control plane was lost ({why}); trying again for up to {} s",
                        self.patience.limit().as_secs()
                    )
                }))
            }
            // An oldest event that we could have had anyway would lead here again and again.
            Meaning::Trimmed { oldest } if oldest > self.cursor + 1 => {
                Ok(Some(self.skip_to(oldest)))
            }
            Meaning::Trimmed { .. } | Meaning::Answer => Err(CliError::Call(Box::new(status))),
        }
    }

    fn skip_to(&mut self, oldest: u64) -> String {
        let first = self.cursor + 1;
        self.cursor = oldest - 1;
        format!(
            "events {first} to {} are not kept any more; going on with event {oldest}",
            self.cursor
        )
    }

    fn pause(&mut self, hint: Option<Duration>, status: Status) -> Result<Duration, CliError> {
        match self.patience.failed(hint) {
            Some(pause) => Ok(pause),
            None => Err(CliError::Lost {
                limit: self.patience.limit(),
                status: Box::new(status),
                advice: match &self.opening {
                    Opening::Watch(id) => format!("once it is back: hearth logs {id} --follow"),
                    Opening::Prepare(request) => format!(
                        "once it is back, repeat the command with --request-id {}",
                        request.request_id
                    ),
                },
            }),
        }
    }
}
