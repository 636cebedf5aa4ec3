use std::{collections::BTreeMap, env};

use bytes::Bytes;
use hearth_api::v1::{
    ExecBegin, ExecCommand, ExecRequest, InputEnd, exec_request::Message as Asked,
    exec_response::Message,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    client,
    stdio::{Output, input},
    terminal::{self, RawTerminal},
};
use crate::{
    args::{AsUser, ExecArgs, ShellArgs},
    commands::Context,
    error::CliError,
    exit::Exit,
};

/// Messages that wait to be sent.
const WAITING: usize = 4;
/// Variables that say what the user's terminal can do.
const OF_TERMINAL: [&str; 2] = ["TERM", "COLORTERM"];

/// How a command is run.
struct Run {
    begin: ExecBegin,
    has_input: bool,
    is_raw: bool,
}

/// `hearth exec`
pub(crate) async fn exec(context: &Context, args: &ExecArgs) -> Result<Exit, CliError> {
    let tty = args.tty || (!args.no_tty && !args.stdin && terminal::is_there());
    if args.tty && !terminal::is_there() {
        return Err(CliError::Usage(
            "--tty needs a terminal on stdin and stdout\n  leave it out, or run hearth in a terminal".to_owned(),
        ));
    }
    let id = args.workspace.to_string();
    let begin = begin(id, args.command.clone(), &args.as_user, tty);
    run(
        context,
        Run {
            begin,
            has_input: args.stdin || tty || !terminal::is_at_stdin(),
            is_raw: tty,
        },
    )
    .await
}

/// `hearth shell`
pub(crate) async fn shell(context: &Context, args: &ShellArgs) -> Result<Exit, CliError> {
    let tty = terminal::is_there();
    let begin = begin(args.workspace.to_string(), Vec::new(), &args.as_user, tty);
    run(
        context,
        Run {
            begin,
            has_input: true,
            is_raw: tty,
        },
    )
    .await
}

fn begin(workspace_id: String, command: Vec<String>, as_user: &AsUser, tty: bool) -> ExecBegin {
    let mut environment = BTreeMap::new();
    if tty {
        for name in OF_TERMINAL {
            if let Ok(value) = env::var(name) {
                environment.insert(name.to_owned(), value);
            }
        }
    }
    for variable in &as_user.env {
        let value = variable
            .value
            .clone()
            .or_else(|| env::var(&variable.name).ok());
        if let Some(value) = value {
            environment.insert(variable.name.clone(), value);
        }
    }
    ExecBegin {
        workspace_id,
        command: Some(ExecCommand {
            command,
            terminal: tty.then(terminal::size),
            environment,
            folder: as_user.workdir.clone(),
            user: as_user.user.clone(),
            sftp: false,
        }),
    }
}

/// What ends hearth itself, and leaves the terminal as it was.
struct Ends([Signal; 3]);

impl Ends {
    const KINDS: [(fn() -> SignalKind, u8); 3] = [
        (SignalKind::terminate, 15),
        (SignalKind::hangup, 1),
        (SignalKind::quit, 3),
    ];

    fn new() -> Result<Self, CliError> {
        let [first, second, third] = Self::KINDS.map(|(kind, _)| signal(kind()));
        let failed = |error: std::io::Error| CliError::Local(error.into());
        Ok(Self([
            first.map_err(failed)?,
            second.map_err(failed)?,
            third.map_err(failed)?,
        ]))
    }

    async fn next(&mut self) -> Exit {
        let [first, second, third] = &mut self.0;
        let number = tokio::select! {
            _ = first.recv() => Self::KINDS[0].1,
            _ = second.recv() => Self::KINDS[1].1,
            _ = third.recv() => Self::KINDS[2].1,
        };
        Exit::Of(128 + number)
    }
}

async fn run(context: &Context, run: Run) -> Result<Exit, CliError> {
    let mut client = client(context).await?;
    let (sender, requests) = mpsc::channel(WAITING);
    let first = ExecRequest {
        message: Some(Asked::Begin(run.begin)),
    };
    // The first of them fits.
    let _ = sender.send(first).await;
    let answers = client.exec(ReceiverStream::new(requests)).await;
    let answers = context.answer(answers)?;
    let mut ends = Ends::new()?;
    let raw = run.is_raw.then(RawTerminal::enter).transpose();
    let raw = raw.map_err(|error| CliError::Local(error.into()))?;
    let ended = tokio::select! {
        ended = answered(context, answers) => ended,
        asked = asked(&sender, run.has_input, run.is_raw) => asked,
        exit = ends.next() => Ok(exit),
    };
    drop(raw);
    ended
}

/// Sends input and sizes, and does not end but with an error.
async fn asked(
    sender: &mpsc::Sender<ExecRequest>,
    has_input: bool,
    is_raw: bool,
) -> Result<Exit, CliError> {
    let local = |error: std::io::Error| CliError::Local(error.into());
    let mut sizes = signal(SignalKind::window_change()).map_err(local)?;
    let mut pieces = has_input.then(input);
    let send = async |message| {
        // Where nobody takes it any more, the answers say why.
        let message = Some(message);
        let _ = sender.send(ExecRequest { message }).await;
    };
    if !has_input {
        send(Asked::InputEnd(InputEnd {})).await;
    }
    loop {
        let piece = async {
            match &mut pieces {
                Some(pieces) => pieces.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            piece = piece => match piece {
                Some(piece) => send(Asked::Stdin(piece.map_err(local)?)).await,
                None => {
                    pieces = None;
                    send(Asked::InputEnd(InputEnd {})).await;
                }
            },
            _ = sizes.recv(), if is_raw => send(Asked::Resize(terminal::size())).await,
        }
    }
}

async fn answered(
    context: &Context,
    mut answers: Streaming<hearth_api::v1::ExecResponse>,
) -> Result<Exit, CliError> {
    let (mut stdout, mut stderr) = (Output::stdout(), Output::stderr());
    let write = async |output: &mut Output, bytes: Bytes| output.write(bytes).await;
    let code = loop {
        let message = answers.message().await;
        let message = message.map_err(|status| CliError::call(&context.target.address, status))?;
        let Some(message) = message else {
            return Err(CliError::Local(anyhow::anyhow!(
                "the session has ended, and nothing said how its command did"
            )));
        };
        match message.message {
            Some(Message::Stdout(bytes)) => write(&mut stdout, bytes).await?,
            Some(Message::Stderr(bytes)) => write(&mut stderr, bytes).await?,
            Some(Message::Ended(ended)) => break ended.exit_code,
            Some(Message::Started(_)) | None => {}
        }
    };
    stdout.finish().await?;
    stderr.finish().await?;
    Ok(match u8::try_from(code) {
        Ok(0) => Exit::Ok,
        Ok(code) => Exit::Of(code),
        Err(_) => Exit::Of(255),
    })
}
