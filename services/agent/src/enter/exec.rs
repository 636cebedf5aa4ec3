use futures_util::{Stream, StreamExt as _};
use hearth_api::v1::{
    ExecEnded, ExecRequest, ExecResponse, ExecStarted, exec_request as asked,
    exec_response::Message,
};
use hearth_runtime::FieldFaults;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use tonic::Status;

use super::{
    MAX_CHUNK,
    container::Inside,
    error::EnterError,
    session::Session,
    target::{Wanted, size},
};
use crate::external::engine::{Exec, Output};

type Answers = mpsc::Sender<Result<ExecResponse, Status>>;
/// Pieces of input that wait for the command. Signals overtake them.
const WAITING: usize = 8;

/// What the client has said of the input.
enum Input {
    Bytes(bytes::Bytes),
    End,
}

impl Inside {
    /// Runs a command with what the client sends, until it has ended or the client is gone. `Err`: it was not started.
    pub async fn exec(
        self,
        wanted: Wanted,
        requests: impl Stream<Item = Result<ExecRequest, Status>> + Send + 'static,
        answers: Answers,
    ) -> Result<(), EnterError> {
        let attaches = wanted.attaches();
        let (session, exec) = self.start(wanted).await?;
        let tasks = self.entering.tasks.clone();
        let stopping = tasks.stopping().clone();
        tasks.spawn("command in a workspace", async move {
            let attached = async {
                if attaches && let Some(told) = self.attach().await {
                    send(&answers, Message::Stderr(told.into())).await;
                }
                std::future::pending::<()>().await;
            };
            let ended = tokio::select! {
                ended = passed_on(session, exec, requests, &answers) => ended,
                () = attached => Ok(()),
                // Dropping the session ends the command.
                () = answers.closed() => Ok(()),
                () = stopping.cancelled() => Err(EnterError::Stopping.into()),
            };
            if let Err(status) = ended {
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(())
    }
}

async fn passed_on(
    mut session: Session,
    exec: Exec,
    requests: impl Stream<Item = Result<ExecRequest, Status>>,
    answers: &Answers,
) -> Result<(), Status> {
    let Exec { input, output, .. } = exec;
    let (pieces, waiting) = mpsc::channel(WAITING);
    {
        let mut output = std::pin::pin!(sent(output, answers));
        let mut written = std::pin::pin!(write(input, waiting));
        let mut controlled = std::pin::pin!(control(&session, requests, pieces));
        let (mut writes, mut controls) = (true, true);
        loop {
            tokio::select! {
                sent = &mut output => {
                    sent?;
                    break;
                }
                () = &mut written, if writes => writes = false,
                controlled = &mut controlled, if controls => {
                    controlled?;
                    controls = false;
                }
            }
        }
    }
    let exit_code = session.exit_code().await.map_err(EnterError::from)?;
    let _ = send(answers, Message::Ended(ExecEnded { exit_code })).await;
    Ok(())
}

/// Passes the output on, which is read no faster than the client takes it.
async fn sent(
    mut output: impl Stream<Item = Result<Output, crate::external::engine::EngineFailure>> + Unpin,
    answers: &Answers,
) -> Result<(), Status> {
    let mut goes_on = send(answers, Message::Started(ExecStarted {})).await;
    while goes_on && let Some(piece) = output.next().await {
        goes_on = match piece.map_err(EnterError::from)? {
            Output::Stdout(bytes) => send(answers, Message::Stdout(bytes)).await,
            Output::Stderr(bytes) => send(answers, Message::Stderr(bytes)).await,
        };
    }
    Ok(())
}

/// False: the client is gone.
async fn send(answers: &Answers, message: Message) -> bool {
    let response = ExecResponse {
        message: Some(message),
    };
    answers.send(Ok(response)).await.is_ok()
}

/// Writes input until the command takes no more.
async fn write(mut input: impl AsyncWrite + Unpin, mut waiting: mpsc::Receiver<Input>) {
    while let Some(Input::Bytes(bytes)) = waiting.recv().await {
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            break;
        }
    }
    // It may have ended.
    let _ = input.shutdown().await;
    // What a command does not read is dropped, so that signals behind it arrive.
    while waiting.recv().await.is_some() {}
}

async fn control(
    session: &Session,
    requests: impl Stream<Item = Result<ExecRequest, Status>>,
    pieces: mpsc::Sender<Input>,
) -> Result<(), Status> {
    let mut requests = std::pin::pin!(requests);
    while let Some(request) = requests.next().await {
        let mut faults = FieldFaults::default();
        match request?.message {
            Some(asked::Message::Stdin(bytes)) if bytes.len() <= MAX_CHUNK => {
                let _ = pieces.send(Input::Bytes(bytes)).await;
            }
            Some(asked::Message::InputEnd(_)) => {
                let _ = pieces.send(Input::End).await;
            }
            Some(asked::Message::Resize(message)) => {
                let size = size("resize", message, &mut faults);
                session.resize(faults.complete(size)?).await;
            }
            Some(asked::Message::Signal(message)) => {
                let signal = faults.check("signal.name", message.name.parse());
                let signalled = session.signal(faults.complete(signal)?).await;
                signalled.map_err(EnterError::from)?;
            }
            Some(asked::Message::Stdin(_)) => {
                return Err(EnterError::Message("stdin: has more than 64 KiB").into());
            }
            Some(asked::Message::Begin(_)) => {
                return Err(EnterError::Message("begin: is only the first message").into());
            }
            // Of a kind that this agent does not know yet.
            None => {}
        }
    }
    // The end of the stream is the end of the input.
    let _ = pieces.send(Input::End).await;
    Ok(())
}
