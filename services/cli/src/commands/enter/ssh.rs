use std::{io, os::unix::process::CommandExt as _, process::Command};

use bytes::Bytes;
use hearth_api::v1::{
    GetWorkspaceRequest, OpenSshBegin, OpenSshRequest, open_ssh_request::Message as Asked,
    open_ssh_response::Message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    client,
    ssh_config::{Options, remember_key},
    stdio::{Output, input},
};
use crate::{
    args::{SshArgs, SshProxyArgs},
    commands::Context,
    error::CliError,
    exit::Exit,
};

/// Messages that wait to be sent.
const WAITING: usize = 4;

/// `hearth ssh`: the system's own client, which gets what `hearth ssh-config` would write.
pub(crate) async fn ssh(context: &Context, args: &SshArgs) -> Result<Exit, CliError> {
    let request = GetWorkspaceRequest {
        workspace_id: args.workspace.to_string(),
    };
    let found = client(context).await?.get_workspace(request).await;
    let workspace = context.answer(found)?.workspace.unwrap_or_default();
    let mut command = Command::new("ssh");
    for (name, value) in Options::of(context)?.all() {
        command.arg("-o").arg(format!("{name}={value}"));
    }
    if !workspace.remote_user.is_empty() {
        command.arg("-l").arg(&workspace.remote_user);
    }
    let (options, rest) = split(&args.arguments);
    command.args(options);
    command.arg(format!("hearth.{}", args.workspace));
    command.args(rest);
    // Nothing of hearth is left behind: what comes after it is ssh.
    let error = command.exec();
    Err(match error.kind() {
        io::ErrorKind::NotFound => CliError::Local(anyhow::anyhow!(
            "there is no ssh on this machine: install OpenSSH's client, or use hearth shell {0} and hearth exec {0}",
            args.workspace
        )),
        _ => CliError::Local(anyhow::Error::new(error).context("ssh cannot be started")),
    })
}

/// Options of ssh come before its host, and the command after it.
fn split(arguments: &[String]) -> (&[String], &[String]) {
    /// Those that take a value.
    const WITH_VALUE: &str = "BbcDEeFIiJLlmOopQRSWw";
    let mut next = 0;
    while let Some(argument) = arguments.get(next) {
        if argument == "--" {
            return (&arguments[..next], &arguments[next + 1..]);
        }
        let Some(letters) = argument
            .strip_prefix('-')
            .filter(|letters| !letters.is_empty())
        else {
            break;
        };
        next += match letters
            .chars()
            .position(|letter| WITH_VALUE.contains(letter))
        {
            // Its value is the next argument.
            Some(place) if place + 1 == letters.len() => 2,
            _ => 1,
        };
    }
    arguments.split_at(next.min(arguments.len()))
}

/// `hearth ssh-proxy`
pub(crate) async fn ssh_proxy(context: &Context, args: &SshProxyArgs) -> Result<Exit, CliError> {
    let mut client = client(context).await?;
    let (sender, requests) = mpsc::channel(WAITING);
    let begin = Asked::Begin(OpenSshBegin {
        workspace_id: args.host.id.to_string(),
    });
    send(&sender, begin).await;
    let answers = client.open_ssh(ReceiverStream::new(requests)).await;
    let mut answers = context.answer(answers)?;
    let first = next(context, &mut answers).await?;
    let Some(Message::Opened(opened)) = first else {
        return Err(CliError::Local(anyhow::anyhow!(
            "the workspace's SSH server does not say who it is; this client may be older than the control plane"
        )));
    };
    // Before anything of the server arrives: ssh compares its key with this.
    remember_key(&args.host.text, &opened.host_key)?;
    let mut stdout = Output::stdout();
    let goes = async move {
        let mut pieces = input();
        while let Some(Ok(piece)) = pieces.recv().await {
            send(&sender, Asked::Data(piece)).await;
        }
        // The server hears the end.
        drop(sender);
        std::future::pending::<()>().await;
    };
    let comes = async {
        while let Some(message) = next(context, &mut answers).await? {
            if let Message::Data(bytes) = message {
                stdout.write(bytes).await?;
            }
        }
        stdout.finish().await
    };
    tokio::select! {
        came = comes => came.map(|()| Exit::Ok),
        () = goes => Ok(Exit::Ok),
    }
}

/// `None`: that was all.
async fn next(
    context: &Context,
    answers: &mut Streaming<hearth_api::v1::OpenSshResponse>,
) -> Result<Option<Message>, CliError> {
    let answer = answers.message().await;
    let answer = answer.map_err(|status| CliError::call(&context.target.address, status))?;
    // What this client does not know yet is nothing.
    Ok(answer.map(|answer| answer.message.unwrap_or(Message::Data(Bytes::new()))))
}

async fn send(sender: &mpsc::Sender<OpenSshRequest>, message: Asked) {
    // Where nobody takes it any more, the answers say why.
    let message = Some(message);
    let _ = sender.send(OpenSshRequest { message }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_ssh_are_told_from_the_command() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for (all, options, command) in [
            ("", "", ""),
            ("ls -l", "", "ls -l"),
            ("-N -L 80:localhost:80", "-N -L 80:localhost:80", ""),
            ("-tt -L80:a:80 top", "-tt -L80:a:80", "top"),
            ("-AL 80:a:80 -- -x", "-AL 80:a:80", "-x"),
            ("-o", "-o", ""),
        ] {
            let arguments = words(all);
            let (found, rest) = split(&arguments);
            assert_eq!(
                (found, rest),
                (&words(options)[..], &words(command)[..]),
                "{all}"
            );
        }
    }
}
