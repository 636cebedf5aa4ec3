use std::io::{self, Write as _};

use crate::error::CliError;

/// The way to stdout and stderr.
///
/// A line that goes out is printed as it is: whoever made it has cleaned what came from elsewhere (`render::clean`).
#[derive(Debug, Default)]
pub(crate) struct Out {}

impl Out {
    /// Prints lines on stdout. A reader that has gone ends the command.
    pub(crate) fn print(&self, text: &str) -> Result<(), CliError> {
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

    /// Prints a line on stderr. Nobody reading there is no reason to stop.
    pub(crate) fn note(&self, line: &str) {
        writeln!(io::stderr().lock(), "{line}").ok();
    }
}
