//! hearth: the command line client.
//!
//! `args` parses the command line, `commands` calls the control plane (through `connect`, and through `follow` for
//! event streams that survive a broken connection), and pure functions turn the answers into text (`render`) or into
//! proto3 JSON (`json`). All output goes through `out`.

mod args;
mod backoff;
mod commands;
mod connect;
mod error;
mod exit;
mod follow;
mod json;
mod out;
mod progress;
mod render;
mod stream_end;
mod streams;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser as _, error::ErrorKind};

use crate::{args::Cli, commands::Context, error::CliError, exit::Exit};

/// Runs the client. `arguments` begin with the name of the program.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let exit = match Cli::try_parse_from(arguments) {
        Ok(cli) => run(&cli).unwrap_or_else(|error| fail(&error)),
        Err(error) => {
            // There is no other place to report that stderr is closed.
            error.print().ok();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
                _ => Exit::Usage,
            }
        }
    };
    exit.into()
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
    })?;
    if let (Exit::Interrupted, Some(advice)) = (exit, context.on_interrupt.take()) {
        out::note(&advice);
    }
    Ok(exit)
}

fn fail(error: &CliError) -> Exit {
    for line in error.lines() {
        out::note(&line);
    }
    error.exit()
}
