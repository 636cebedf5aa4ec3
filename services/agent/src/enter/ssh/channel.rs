//! What happens on one channel.

use std::sync::Arc;

use futures_util::StreamExt as _;
use russh::{
    ChannelOpenFailure, ChannelWriteHalf,
    server::{ChannelOpenHandle, Msg},
};
use tokio::io::AsyncWriteExt as _;

use super::inputs::{Control, Input, Inputs, Receiver};
use crate::{
    enter::{
        connect::Connected, container::Inside, error::EnterError, session::Session, target::Wanted,
    },
    external::engine::{EngineFailure, Exec, Output},
};

/// SSH's number of stderr.
const STDERR: u32 = 1;
/// The exit code when nothing was run, as of `ssh` itself.
const FAILED: u32 = 255;
/// The exit code of a shell that finds no such program.
const NOT_FOUND: i32 = 127;

/// Programs that clients call in the workspace, and what to do where it has none.
const MISSING: [(&str, &str); 2] = [
    (
        "rsync ",
        "hearth: there is no rsync in this workspace's image: install it there, or use scp or sftp, which need nothing\r\n",
    ),
    (
        "scp ",
        "hearth: there is no scp in this workspace's image: leave out scp's option -O, it needs nothing then\r\n",
    ),
];

/// Runs what is asked for until it has ended or the client is gone.
pub async fn run(
    inside: Arc<Inside>,
    wanted: Wanted,
    write: ChannelWriteHalf<Msg>,
    mut inputs: Receiver,
) {
    let advice = advice(&wanted.arguments);
    let attaches = wanted.attaches();
    let exit_code = match inside.start(wanted).await {
        Ok((session, exec)) => match beside(
            passed_on(session, exec, &write, &mut inputs),
            attached(&inside, attaches, &write),
        )
        .await
        {
            Some(Ok(code)) => Ok(code),
            Some(Err(failure)) => Err(EnterError::from(failure)),
            // Nobody is there to be told.
            None => return,
        },
        Err(error) => Err(error),
    };
    let told = match &exit_code {
        Ok(NOT_FOUND) => advice.map(str::to_owned),
        Ok(_) => None,
        Err(error) => Some(format!("hearth: {error}\r\n")),
    };
    if let Some(told) = told {
        let _ = write.extended_data_bytes(STDERR, told).await;
    }
    let code = exit_code.ok().and_then(|code| u32::try_from(code).ok());
    // It may be gone by now.
    let _ = write.exit_status(code.unwrap_or(FAILED)).await;
    let _ = write.eof().await;
    let _ = write.close().await;
}

/// What is run when somebody attaches goes on for as long as the shell does.
async fn attached(inside: &Inside, attaches: bool, write: &ChannelWriteHalf<Msg>) {
    if attaches && let Some(told) = inside.attach().await {
        let _ = write.extended_data_bytes(STDERR, told).await;
    }
}

/// The first, with the second beside it.
async fn beside<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> T {
    let mut first = std::pin::pin!(first);
    tokio::select! {
        done = &mut first => return done,
        () = second => {}
    }
    first.await
}

fn advice(arguments: &[String]) -> Option<&'static str> {
    let [_, flag, command] = arguments else {
        return None;
    };
    let missing = MISSING
        .iter()
        .find(|(program, _)| flag == "-c" && command.starts_with(program));
    missing.map(|(_, advice)| *advice)
}

/// Makes a connection and passes bytes on.
pub async fn connect(
    inside: Arc<Inside>,
    arguments: Vec<String>,
    reply: ChannelOpenHandle,
    write: ChannelWriteHalf<Msg>,
    mut inputs: Receiver,
) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let connected = match inside.connect(&arguments).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(why)) => {
            tracing::debug!(why, "a connection was not made");
            return reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
        Err(EnterError::NodesNetwork) => {
            return reply
                .reject(ChannelOpenFailure::AdministrativelyProhibited)
                .await;
        }
        Err(error) => {
            tracing::warn!(%error, "a connection within a workspace was not made");
            return reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
    };
    reply.accept().await;
    let Connected {
        session,
        exec,
        first,
    } = connected;
    if !first.is_empty() && write.data_bytes(first).await.is_err() {
        return;
    }
    if passed_on(session, exec, &write, &mut inputs)
        .await
        .is_some()
    {
        let _ = write.eof().await;
        let _ = write.close().await;
    }
}

/// Passes both ways on until the command has ended. `None`: the client has closed the channel.
async fn passed_on(
    mut session: Session,
    exec: Exec,
    write: &ChannelWriteHalf<Msg>,
    inputs: &mut Receiver,
) -> Option<Result<i32, EngineFailure>> {
    let Exec {
        mut input,
        mut output,
        ..
    } = exec;
    {
        let sent = async {
            while let Some(piece) = output.next().await {
                let gone = match piece? {
                    Output::Stdout(bytes) => write.data_bytes(bytes).await.is_err(),
                    Output::Stderr(bytes) => {
                        write.extended_data_bytes(STDERR, bytes).await.is_err()
                    }
                };
                if gone {
                    break;
                }
            }
            Ok(())
        };
        // Ends when the channel is closed.
        let session = &session;
        let (mut before, mut takes) = (0, true);
        let Receiver { inputs, controls } = &mut *inputs;
        let controlled = async {
            while let Some(control) = controls.recv().await {
                match control {
                    Control::Resize(size) => session.resize(size).await,
                    Control::Signal(signal) => {
                        if let Err(error) = session.signal(signal).await {
                            tracing::warn!(%error, "a signal was not sent");
                        }
                    }
                }
            }
        };
        let written = async {
            while let Some(next) = inputs.next(before).await {
                before = 0;
                match next {
                    Input::Bytes(bytes) => {
                        before = bytes.len();
                        // What a command does not take is dropped.
                        takes = takes
                            && input.write_all(&bytes).await.is_ok()
                            && input.flush().await.is_ok();
                    }
                    Input::End => {
                        let _ = input.shutdown().await;
                    }
                }
            }
        };
        let gone = async { tokio::join!(controlled, written) };
        tokio::select! {
            sent = sent => if let Err(failure) = sent {
                return Some(Err(failure));
            },
            _ = gone => return None,
        }
    }
    tokio::select! {
        code = session.exit_code() => Some(code),
        () = closed(&mut inputs.inputs) => None,
    }
}

/// Waits until the client has closed the channel; what it still sends is dropped.
async fn closed(inputs: &mut Inputs) {
    let mut before = 0;
    while let Some(input) = inputs.next(before).await {
        before = match input {
            Input::Bytes(bytes) => bytes.len(),
            Input::End => 0,
        };
    }
}
