//! hearth: the command line client.
//!
//! A command is parsed (`args`), the control plane is called (`connect`, and `follow` for streams that survive a
//! break), and what comes back is turned into text by pure functions (`render`) or into proto3 JSON (`json`).
//! Everything that reaches stdout or stderr goes through `out`.

mod args;
mod commands;
mod connect;
mod error;
mod exit;
mod follow;
mod json;
mod out;
mod over;
mod patience;
mod progress;
mod render;

use std::{cell::OnceCell, ffi::OsString, process::ExitCode};

use clap::{Parser as _, error::ErrorKind};

use crate::{args::Cli, commands::Context, error::CliError, exit::Exit, out::Out};

/// Runs the client with the arguments of a process, its own name first.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let out = Out::default();
    let exit = match Cli::try_parse_from(arguments) {
        Ok(cli) => run(&cli, &out),
        Err(error) => {
            // A failed write has nowhere to be told.
            error.print().ok();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
                _ => Exit::Usage,
            }
        }
    };
    exit.into()
}

fn run(cli: &Cli, out: &Out) -> Exit {
    // One thread does: nothing here computes, and the live display draws on a thread of its own.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(out, &CliError::Local(error.into())),
    };
    let on_interrupt = OnceCell::new();
    let context = Context {
        cli,
        out,
        on_interrupt: &on_interrupt,
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = commands::dispatch(&context) => result,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
        }
    });
    match result {
        Ok(exit) => {
            if let (Exit::Interrupted, Some(advice)) = (exit, on_interrupt.get()) {
                out.note(&advice.borrow());
            }
            exit
        }
        Err(error) => fail(out, &error),
    }
}

fn fail(out: &Out, error: &CliError) -> Exit {
    for line in error.lines() {
        out.note(&line);
    }
    error.exit()
}
