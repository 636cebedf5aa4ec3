//! Connections to what listens in the container, from within it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use hearth_api::v1::{PortForwardResponse, PortOpened, port_forward_response::Message};
use tokio::{io::AsyncWriteExt as _, sync::mpsc, time::timeout};
use tonic::Status;

use super::{container::Inside, error::EnterError, session::Session};
use crate::external::engine::{EngineFailure, Exec, Output};

/// How long a connection may take: the helper tries each address for ten seconds.
const PATIENCE: Duration = Duration::from_secs(40);
/// What the helper prints first when it is connected.
const CONNECTED: u8 = b'+';
/// Bytes of its reason that are read.
const MAX_REASON: usize = 1024;
/// The loopback addresses, in the order in which they are tried.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

type Answers = mpsc::Sender<Result<PortForwardResponse, Status>>;

/// A connection that was made.
pub struct Connected {
    pub session: Session,
    pub exec: Exec,
    /// What has come already.
    pub first: Bytes,
}

impl Inside {
    /// Connects by hearth's program in the container, as the remote user. `Err` has the reason.
    pub(super) async fn connect(
        &self,
        arguments: &[&str],
    ) -> Result<Result<Connected, String>, EnterError> {
        self.check_network().await?;
        let (session, mut exec) = self.help(&self.target.user, arguments).await?;
        let first = timeout(PATIENCE, first_bytes(&mut exec)).await;
        match first {
            Ok(Ok(Ok(first))) => Ok(Ok(Connected {
                session,
                exec,
                first,
            })),
            Ok(Ok(Err(why))) => {
                let mut session = session;
                session.exit_code().await?;
                Ok(Err(why))
            }
            Ok(Err(failure)) => Err(failure.into()),
            Err(_) => Ok(Err("there is no answer".to_owned())),
        }
    }

    /// Connects to a port and passes bytes on, until either side has ended. `Err`: it was not connected.
    pub async fn forward(
        self,
        port: u16,
        pieces: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
        answers: Answers,
    ) -> Result<(), EnterError> {
        let number = port.to_string();
        let arguments = ["connect", &number, LOOPBACK[0], LOOPBACK[1]];
        let connected = self.connect(&arguments).await?;
        let connected = connected.map_err(|why| EnterError::Port { port, why })?;
        let tasks = self.entering.tasks.clone();
        let stopping = tasks.stopping().clone();
        tasks.spawn("connection to a port", async move {
            let ended = tokio::select! {
                ended = passed_on(connected, pieces, &answers) => ended,
                () = answers.closed() => Ok(()),
                () = stopping.cancelled() => Err(EnterError::Stopping.into()),
            };
            if let Err(status) = ended {
                let _ = answers.send(Err(status)).await;
            }
            drop(self);
        });
        Ok(())
    }
}

/// The first bytes after the mark, or the reason why there is none.
async fn first_bytes(exec: &mut Exec) -> Result<Result<Bytes, String>, EngineFailure> {
    let mut reason = Vec::new();
    while let Some(piece) = exec.output.next().await {
        match piece? {
            Output::Stdout(mut bytes) if bytes.first() == Some(&CONNECTED) => {
                return Ok(Ok(bytes.split_off(1)));
            }
            // The engine says on stdout why there is no program.
            Output::Stdout(bytes) | Output::Stderr(bytes) => {
                let room = MAX_REASON.saturating_sub(reason.len());
                reason.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
    }
    let reason = String::from_utf8_lossy(&reason);
    let reason = hearth_domain::text::printable_line(reason.trim());
    Ok(Err(match reason.is_empty() {
        true => "the connection was not made".to_owned(),
        false => reason,
    }))
}

async fn passed_on(
    connected: Connected,
    pieces: impl Stream<Item = Result<Bytes, Status>>,
    answers: &Answers,
) -> Result<(), Status> {
    let Connected {
        mut session,
        exec,
        first,
    } = connected;
    let Exec {
        mut input,
        mut output,
        ..
    } = exec;
    let arrives = async {
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            if input.write_all(&piece?).await.is_err() || input.flush().await.is_err() {
                break;
            }
        }
        let _ = input.shutdown().await;
        Ok::<_, Status>(())
    };
    let leaves = async {
        let mut goes_on = send(answers, Message::Opened(PortOpened {})).await;
        if !first.is_empty() {
            goes_on = goes_on && send(answers, Message::Data(first)).await;
        }
        while goes_on && let Some(piece) = output.next().await {
            if let Output::Stdout(bytes) = piece.map_err(EnterError::from)? {
                goes_on = send(answers, Message::Data(bytes)).await;
            }
        }
        Ok::<_, Status>(())
    };
    let (mut arrives, mut leaves) = (std::pin::pin!(arrives), std::pin::pin!(leaves));
    tokio::select! {
        left = &mut leaves => left?,
        arrived = &mut arrives => {
            arrived?;
            leaves.await?;
        }
    }
    session.exit_code().await.map_err(EnterError::from)?;
    Ok(())
}

async fn send(answers: &Answers, message: Message) -> bool {
    let response = PortForwardResponse {
        message: Some(message),
    };
    answers.send(Ok(response)).await.is_ok()
}
