//! The client's side of SFTP version 3 (draft-ietf-secsh-filexfer-02), on the input and output of a session. The server answers
//! in the order of the requests, so that several may be under way.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hearth_api::v1::{
    ExecBegin, ExecCommand, ExecRequest, ExecResponse, exec_request::Message as Asked,
    exec_response::Message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::client;
use crate::{commands::Context, error::CliError};

/// Bytes of the longest packet that is believed.
const MAX_PACKET: usize = 512 * 1024;
/// Bytes of one message.
const MAX_MESSAGE: usize = 32 * 1024;
/// Messages that wait to be sent.
const WAITING: usize = 4;
/// Bytes that the server says on stderr of why it ends.
const MAX_REASON: usize = 1024;

const OK: u32 = 0;
const END: u32 = 1;
const NOT_FOUND: u32 = 2;

/// A server's answer.
#[derive(Debug)]
pub(super) enum Answer {
    Status(u32, String),
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<(Bytes, Attributes)>),
    Attributes(Attributes),
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) modified: u32,
}

impl Attributes {
    fn kind(self) -> u32 {
        self.mode & 0o170_000
    }

    pub(super) fn is_folder(self) -> bool {
        self.kind() == 0o040_000
    }

    pub(super) fn is_link(self) -> bool {
        self.kind() == 0o120_000
    }

    pub(super) fn is_file(self) -> bool {
        self.kind() == 0o100_000
    }

    fn read(bytes: &mut Bytes) -> Option<Self> {
        let flags = bytes.try_get_u32().ok()?;
        let mut read = Self::default();
        if flags & 1 != 0 {
            bytes.try_get_u64().ok()?;
        }
        if flags & 2 != 0 {
            bytes.try_get_u64().ok()?;
        }
        if flags & 4 != 0 {
            read.mode = bytes.try_get_u32().ok()?;
        }
        if flags & 8 != 0 {
            bytes.try_get_u32().ok()?;
            read.modified = bytes.try_get_u32().ok()?;
        }
        (flags & !15 == 0).then_some(read)
    }
}

/// A request that is being written.
pub(super) struct Request(BytesMut);

impl Request {
    pub(super) fn new(kind: u8) -> Self {
        let mut bytes = BytesMut::new();
        // The length and the id are known when it is sent.
        bytes.put_u32(0);
        bytes.put_u8(kind);
        bytes.put_u32(0);
        Self(bytes)
    }

    pub(super) fn text(mut self, text: &[u8]) -> Self {
        self.0
            .put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.put_slice(text);
        self
    }

    pub(super) fn number(mut self, number: u32) -> Self {
        self.0.put_u32(number);
        self
    }

    pub(super) fn long(mut self, number: u64) -> Self {
        self.0.put_u64(number);
        self
    }
}

/// A connection to the server of a workspace.
pub(super) struct Sftp<'a> {
    context: &'a Context,
    requests: mpsc::Sender<ExecRequest>,
    answers: Streaming<ExecResponse>,
    read: BytesMut,
    next: u32,
    reason: Vec<u8>,
}

impl<'a> Sftp<'a> {
    pub(super) async fn open(
        context: &'a Context,
        workspace_id: String,
        user: String,
    ) -> Result<Self, CliError> {
        let (requests, sent) = mpsc::channel(WAITING);
        let begin = Asked::Begin(ExecBegin {
            workspace_id,
            command: Some(ExecCommand {
                user,
                sftp: true,
                ..ExecCommand::default()
            }),
        });
        let first = ExecRequest {
            message: Some(begin),
        };
        // The first of them fits.
        let _ = requests.send(first).await;
        let answers = client(context).await?.exec(ReceiverStream::new(sent)).await;
        let mut sftp = Self {
            context,
            requests,
            answers: context.answer(answers)?,
            read: BytesMut::new(),
            next: 0,
            reason: Vec::new(),
        };
        let mut hello = BytesMut::new();
        hello.put_u32(5);
        hello.put_u8(1);
        hello.put_u32(3);
        sftp.write(hello.freeze()).await;
        let version = sftp.packet().await?;
        match version.first() {
            Some(2) => Ok(sftp),
            _ => Err(strange()),
        }
    }

    /// Sends a request; its answer is received after those of the requests before it.
    pub(super) async fn send(&mut self, request: Request) {
        let mut bytes = request.0;
        let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes[5..9].copy_from_slice(&self.next.to_be_bytes());
        self.next = self.next.wrapping_add(1);
        self.write(bytes.freeze()).await;
    }

    async fn write(&self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(MAX_MESSAGE));
            let message = Some(Asked::Stdin(piece));
            // Where nobody takes it any more, the answers say why.
            let _ = self.requests.send(ExecRequest { message }).await;
        }
    }

    /// The next answer.
    pub(super) async fn receive(&mut self) -> Result<Answer, CliError> {
        let mut packet = self.packet().await?;
        answer(&mut packet).ok_or_else(strange)
    }

    pub(super) async fn ask(&mut self, request: Request) -> Result<Answer, CliError> {
        self.send(request).await;
        self.receive().await
    }

    /// Asks for something that is done or not.
    pub(super) async fn done(&mut self, request: Request, what: &str) -> Result<(), CliError> {
        match self.ask(request).await? {
            Answer::Status(OK, _) => Ok(()),
            answer => Err(refused(what, answer)),
        }
    }

    /// What a path leads to; of a link itself if it is not followed. `None`: nothing.
    pub(super) async fn look(
        &mut self,
        path: &[u8],
        follow: bool,
        what: &str,
    ) -> Result<Option<Attributes>, CliError> {
        let kind = if follow { 17 } else { 7 };
        match self.ask(Request::new(kind).text(path)).await? {
            Answer::Attributes(attributes) => Ok(Some(attributes)),
            Answer::Status(NOT_FOUND, _) => Ok(None),
            answer => Err(refused(what, answer)),
        }
    }

    pub(super) async fn open_handle(
        &mut self,
        request: Request,
        what: &str,
    ) -> Result<Bytes, CliError> {
        match self.ask(request).await? {
            Answer::Handle(handle) => Ok(handle),
            answer => Err(refused(what, answer)),
        }
    }

    pub(super) async fn close(&mut self, handle: &[u8], what: &str) -> Result<(), CliError> {
        self.done(Request::new(4).text(handle), what).await
    }

    async fn packet(&mut self) -> Result<Bytes, CliError> {
        loop {
            if let Some(length) = self.read.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length == 0 || length > MAX_PACKET {
                    return Err(strange());
                }
                if self.read.len() >= 4 + length {
                    self.read.advance(4);
                    return Ok(self.read.split_to(length).freeze());
                }
            }
            let message = self.answers.message().await;
            let address = &self.context.target.address;
            let message = message.map_err(|status| CliError::call(address, status))?;
            match message.and_then(|answer| answer.message) {
                Some(Message::Stdout(bytes)) => self.read.extend_from_slice(&bytes),
                Some(Message::Stderr(bytes)) => {
                    let room = MAX_REASON.saturating_sub(self.reason.len());
                    self.reason
                        .extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Some(Message::Started(_)) => {}
                Some(Message::Ended(_)) | None => return Err(self.over()),
            }
        }
    }

    /// It has ended, and perhaps said why.
    fn over(&self) -> CliError {
        let said = match self.reason.is_empty() {
            true => &self.read[..],
            false => &self.reason[..],
        };
        let said = String::from_utf8_lossy(said);
        CliError::Local(anyhow::anyhow!(
            "the workspace serves no files: {}",
            match said.trim() {
                "" => "its server has ended",
                said => said,
            }
        ))
    }
}

fn strange() -> CliError {
    CliError::Local(anyhow::anyhow!(
        "what serves the workspace's files does not speak SFTP; was hearth's program in its container replaced?"
    ))
}

/// The error of an answer that was not hoped for.
pub(super) fn refused(what: &str, answer: Answer) -> CliError {
    match answer {
        Answer::Status(_, why) => CliError::Local(anyhow::anyhow!("{what}: {why}")),
        _ => strange(),
    }
}

/// Whether there is no more.
pub(super) fn is_end(answer: &Answer) -> bool {
    matches!(answer, Answer::Status(END, _))
}

fn answer(packet: &mut Bytes) -> Option<Answer> {
    let kind = packet.try_get_u8().ok()?;
    packet.try_get_u32().ok()?;
    Some(match kind {
        101 => {
            let code = packet.try_get_u32().ok()?;
            let message = text(packet).unwrap_or_default();
            Answer::Status(code, String::from_utf8_lossy(&message).into_owned())
        }
        102 => Answer::Handle(text(packet)?),
        103 => Answer::Data(text(packet)?),
        104 => {
            let count = packet.try_get_u32().ok()?;
            let mut names = Vec::new();
            for _ in 0..count {
                let name = text(packet)?;
                text(packet)?;
                names.push((name, Attributes::read(packet)?));
            }
            Answer::Names(names)
        }
        105 => Answer::Attributes(Attributes::read(packet)?),
        _ => return None,
    })
}

fn text(packet: &mut Bytes) -> Option<Bytes> {
    let length = packet.try_get_u32().ok()? as usize;
    (length <= packet.len()).then(|| packet.split_to(length))
}
