//! The command line client of hearth.

use std::process::ExitCode;

fn main() -> ExitCode {
    hearth_cli::main(std::env::args_os())
}
