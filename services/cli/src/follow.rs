use std::time::Duration;

use futures_util::StreamExt as _;
use hearth_api::v1::{
    Event, GetWorkspaceRequest, PrepareWorkspaceRequest, StartWorkspaceRequest, WatchUntil,
    WatchWorkspaceRequest, Workspace, workspace_service_client::WorkspaceServiceClient,
};
use hearth_domain::text::printable_line;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;

use crate::{
    backoff::Backoff,
    connect::Channel,
    error::{CliError, Meaning, meaning},
    stream_end::StreamEnd,
    streams::{self, Message, Messages},
};

/// A stream that lasted this long ends a series of failures, even when no event came.
const GOOD_STREAM: Duration = Duration::from_secs(10);

/// What a follower returns.
#[derive(Debug)]
pub(crate) enum Update {
    /// The workspace when the first stream began. Returned once, before anything else.
    Snapshot(Box<Workspace>),
    /// The next event. No event is returned twice.
    Event(Box<Event>),
    /// A message about the connection, for the user.
    Note(String),
}

/// The call that opens the next stream.
#[derive(Debug)]
enum Opening {
    /// Until there is a snapshot: the request id makes repeating safe.
    Prepare(Box<PrepareWorkspaceRequest>),
    /// The same: a workspace that is being started is only followed.
    Start(StartWorkspaceRequest),
    /// From then on, by the workspace's id.
    Watch(String),
}

/// Reads a workspace's events over as many streams as it takes.
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
    /// Sequence of the last event that was returned.
    cursor: u64,
    /// The open stream, and since when it is open.
    stream: Option<(Messages, Instant)>,
    /// An event that is returned after the note about the missing ones before it.
    held: Option<Box<Event>>,
    /// When the next stream may be opened.
    not_before: Option<Instant>,
    end: StreamEnd,
    has_snapshot: bool,
    backoff: Backoff,
}

impl Follower {
    /// Prepares a workspace and follows it.
    pub(crate) fn prepare(
        channel: Channel,
        request: PrepareWorkspaceRequest,
        backoff: Backoff,
    ) -> Self {
        let until = request.until();
        Self::new(
            channel,
            Opening::Prepare(Box::new(request)),
            until,
            0,
            backoff,
        )
    }

    /// Starts a workspace and follows it.
    pub(crate) fn start(
        channel: Channel,
        request: StartWorkspaceRequest,
        backoff: Backoff,
    ) -> Self {
        let until = request.until();
        Self::new(channel, Opening::Start(request), until, 0, backoff)
    }

    /// Follows a workspace until it has settled, from the event after `cursor`.
    pub(crate) fn watch(
        channel: Channel,
        workspace_id: String,
        cursor: u64,
        backoff: Backoff,
    ) -> Self {
        let opening = Opening::Watch(workspace_id);
        Self::new(channel, opening, WatchUntil::Settled, cursor, backoff)
    }

    fn new(
        channel: Channel,
        opening: Opening,
        until: WatchUntil,
        cursor: u64,
        backoff: Backoff,
    ) -> Self {
        Self {
            client: WorkspaceServiceClient::new(channel),
            opening,
            until,
            cursor,
            stream: None,
            held: None,
            not_before: None,
            end: StreamEnd::default(),
            has_snapshot: false,
            backoff,
        }
    }

    /// The next update; `None` when the stream has ended where it was asked to.
    pub(crate) async fn next(&mut self) -> Result<Option<Update>, CliError> {
        if let Some(event) = self.held.take() {
            return Ok(self.take(Message::Event(event)));
        }
        loop {
            if let Some(time) = self.not_before.take() {
                sleep_until(time).await;
            }
            let message = match &mut self.stream {
                Some((stream, _)) => stream.next().await,
                None => match self.open().await {
                    Ok(stream) => {
                        self.stream = Some((stream, Instant::now()));
                        continue;
                    }
                    Err(status) => Some(Err(status)),
                },
            };
            let update = match message {
                Some(Ok(message)) => message.and_then(|message| self.take(message)),
                Some(Err(status)) => self.broke(status)?.map(Update::Note),
                None if self.end.is_reached(self.until) => return Ok(None),
                None => {
                    let ended = Status::unavailable("the stream ended too early");
                    self.broke(ended)?.map(Update::Note)
                }
            };
            if update.is_some() {
                return Ok(update);
            }
        }
    }

    /// The workspace as it is now.
    pub(crate) async fn workspace(&mut self) -> Result<Workspace, CliError> {
        let workspace_id = match &self.opening {
            Opening::Watch(id) => id.clone(),
            Opening::Prepare(request) => request.workspace_id.clone(),
            Opening::Start(request) => request.workspace_id.clone(),
        };
        loop {
            let request = GetWorkspaceRequest {
                workspace_id: workspace_id.clone(),
            };
            match self.client.get_workspace(request).await {
                Ok(response) => return Ok(response.into_inner().workspace.unwrap_or_default()),
                Err(status) => match meaning(&status) {
                    Meaning::Broken { hint } => sleep(self.delay(hint, status)?).await,
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
                streams::prepare(&mut self.client, (**request).clone()).await
            }
            Opening::Start(request) => streams::start(&mut self.client, request.clone()).await,
            Opening::Watch(workspace_id) => {
                let request = WatchWorkspaceRequest {
                    workspace_id: workspace_id.clone(),
                    after_sequence: self.cursor,
                    until: self.until.into(),
                };
                streams::watch(&mut self.client, request).await
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<Update> {
        match message {
            Message::Snapshot(workspace) => self.take_snapshot(workspace),
            Message::Event(event) if event.sequence <= self.cursor => None,
            // With `after_sequence` zero a stream begins at the oldest event that is kept.
            Message::Event(event) if event.sequence > self.cursor + 1 => {
                let note = self.skip_to(event.sequence);
                self.held = Some(event);
                Some(Update::Note(note))
            }
            Message::Event(event) => {
                self.cursor = event.sequence;
                self.backoff.succeeded();
                self.end.event(&event);
                Some(Update::Event(event))
            }
        }
    }

    fn take_snapshot(&mut self, workspace: Box<Workspace>) -> Option<Update> {
        self.end.snapshot(&workspace);
        if let Opening::Prepare(request) = &self.opening {
            // The events of PrepareWorkspace follow its snapshot; those of WatchWorkspace follow the cursor.
            self.cursor = workspace.last_sequence;
            if request.workspace_id.is_empty() && self.cursor > 0 {
                // An earlier call with this request id has created the workspace, perhaps one of this process whose
                // answer was lost: all its events are wanted.
                self.cursor = 0;
                self.stream = None;
            }
            self.opening = Opening::Watch(workspace.id.clone());
        } else if let Opening::Start(_) = &self.opening {
            self.cursor = workspace.last_sequence;
            self.opening = Opening::Watch(workspace.id.clone());
        }
        if self.has_snapshot {
            let note = format!("reconnected; continuing after event {}", self.cursor);
            return self.backoff.is_failing().then_some(Update::Note(note));
        }
        self.has_snapshot = true;
        Some(Update::Snapshot(workspace))
    }

    /// Prepares for the next stream. Only the first of several failures in a row is worth a note.
    fn broke(&mut self, status: Status) -> Result<Option<String>, CliError> {
        if let Some((_, since)) = self.stream.take()
            && since.elapsed() >= GOOD_STREAM
        {
            self.backoff.succeeded();
        }
        match meaning(&status) {
            Meaning::Broken { hint } => {
                let first = !self.backoff.is_failing();
                let why = printable_line(status.message());
                let delay = self.delay(hint, status)?;
                self.not_before = Some(Instant::now() + delay);
                Ok(first.then(|| {
                    format!(
                        "the connection to the control plane was lost ({why}); reconnecting for up to {} s",
                        self.backoff.limit().as_secs()
                    )
                }))
            }
            // An oldest event that is no later than the next one would lead here again and again.
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
            "events {first} to {} are no longer kept; continuing with event {oldest}",
            self.cursor
        )
    }

    fn delay(&mut self, hint: Option<Duration>, status: Status) -> Result<Duration, CliError> {
        self.backoff.failed(hint).ok_or_else(|| CliError::Lost {
            limit: self.backoff.limit(),
            status: Box::new(status),
            advice: match &self.opening {
                Opening::Watch(id) => {
                    format!("when it is back, continue with: hearth logs {id} --follow")
                }
                Opening::Start(request) => format!(
                    "when it is back, repeat: hearth start {}",
                    request.workspace_id
                ),
                Opening::Prepare(request) => format!(
                    "when it is back, repeat the command with --request-id {}",
                    request.request_id
                ),
            },
        })
    }
}
