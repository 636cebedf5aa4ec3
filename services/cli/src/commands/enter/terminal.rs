use std::io::{self, IsTerminal as _};

use hearth_api::v1::TerminalSize;
use rustix::{
    stdio::{stdin, stdout},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};

/// The terminal of the user, which passes every key on until this is dropped.
pub(super) struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // It may be gone, and then nobody misses anything.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Whether a user sits in front of both.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether a user types what stdin has.
pub(super) fn is_at_stdin() -> bool {
    io::stdin().is_terminal()
}

/// The size of the terminal; the usual one where there is none.
pub(super) fn size() -> TerminalSize {
    let found = tcgetwinsize(stdout())
        .or_else(|_| tcgetwinsize(stdin()))
        .ok();
    let found = found.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    let (columns, rows) = found.map_or((80, 24), |size| (size.ws_col, size.ws_row));
    TerminalSize {
        columns: columns.into(),
        rows: rows.into(),
    }
}
