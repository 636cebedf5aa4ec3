//! The only way to stdout and stderr. Lines are printed as they are: text from elsewhere is made safe when it is
//! rendered.

use std::io::{self, Write as _};

use crate::error::CliError;

/// Prints text on stdout, with a line break at its end. A closed pipe is an error, which ends the command.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| match text.ends_with('\n') {
            true => Ok(()),
            false => stdout.write_all(b"\n"),
        })
        .and_then(|()| stdout.flush())
        .map_err(CliError::Output)
}

/// Prints a line on stderr. That stderr is closed is no reason to stop.
pub(crate) fn note(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}
