//! hearth: the command line client.
//!
//! `args` parses the command line, `target` says which control plane is meant (`contexts` are those that the user has logged
//! in to), `commands` calls it (through `connect`, and through `follow` for
//! event streams that survive a broken connection), and pure functions turn the answers into text (`render`) or into
//! proto3 JSON (`json`). All output goes through `out`.

mod address;
mod args;
mod backoff;
mod commands;
mod connect;
mod contexts;
mod error;
mod exit;
mod faults;
mod follow;
mod json;
mod out;
mod progress;
mod render;
mod secret_value;
mod stream_end;
mod streams;
mod target;
mod token;
mod unreachable;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use crate::{args::Cli, commands::Context, error::CliError, exit::Exit, faults::Given};

/// Runs the client. `arguments` begin with the name of the program.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let matches = Cli::command().try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let exit = match parsed {
        Ok((cli, matches)) => run(&cli).unwrap_or_else(|error| {
            let command = Cli::command();
            fail(&error, &Given { command, matches })
        }),
        Err(error) => refuse(&error),
    };
    exit.into()
}

/// Prints what clap says: the help that was asked for, or what is wrong with the command line.
fn refuse(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that has ended has read enough.
            error.print().ok();
            Exit::Ok
        }
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            out::note(&format!("hearth: {}", text.trim_end()));
            Exit::Usage
        }
    }
}

fn run(cli: &Cli) -> Result<Exit, CliError> {
    // One thread is enough: nothing here computes, and the live display draws on a thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Local(error.into()))?;
    let context = Context::new(cli)?;
    let exit = runtime.block_on(async {
        tokio::select! {
            result = commands::dispatch(&context, &cli.command) => result,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
        }
    });
    let exit = exit.map_err(|error| error.of(&context.target.address))?;
    if let (Exit::Interrupted, Some(advice)) = (exit, context.on_interrupt.take()) {
        out::note(&advice);
    }
    Ok(exit)
}

fn fail(error: &CliError, given: &Given) -> Exit {
    for line in error.lines(given) {
        out::note(&line);
    }
    error.exit()
}
