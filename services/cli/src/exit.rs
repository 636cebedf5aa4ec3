//! What the process says to whoever started it.

use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface; `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `up`, the workspace is READY.
    Ok = 0,
    /// The control plane answered the call with an error, or the output could not be written.
    Error = 1,
    /// The call went well and the workspace is FAILED.
    WorkspaceFailed = 2,
    /// The workspace is in RECOVERY.
    Recovery = 3,
    /// `doctor` and `cache probe` found something that does not work.
    Unwell = 4,
    /// `EX_USAGE` of sysexits.h, as for hearth's services.
    Usage = 64,
    /// `EX_UNAVAILABLE` of sysexits.h.
    Unreachable = 69,
    /// 128 + SIGINT.
    Interrupted = 130,
    /// 128 + SIGPIPE: what a shell shows for other programs whose reader left.
    ReaderLeft = 141,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The end of every `--help`.
pub const HELP: &str = "\
Exit codes:
    0  done; for `up`, the workspace is READY
    1  the control plane answered with an error
    2  `up`: the workspace is FAILED
    3  `up`: the workspace is in RECOVERY: its own configuration failed, the default image runs instead
    4  `doctor`, `cache probe`: something does not work
   64  wrong usage
   69  the control plane cannot be reached, or was lost and did not come back
  130  interrupted; a preparation that had begun goes on
  141  whoever read the output has gone";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_exit_code() {
        for exit in [
            Exit::Ok,
            Exit::Error,
            Exit::WorkspaceFailed,
            Exit::Recovery,
            Exit::Unwell,
            Exit::Usage,
            Exit::Unreachable,
            Exit::Interrupted,
            Exit::ReaderLeft,
        ] {
            let listed = HELP
                .lines()
                .any(|line| line.trim_start().starts_with(&format!("{}  ", exit as u8)));
            assert!(listed, "{exit:?}");
        }
    }
}
