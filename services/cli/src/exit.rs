//! Exit codes.

use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface; `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success; for `up`, the workspace is READY.
    Ok,
    /// The control plane returned an error, or the output could not be written.
    Error,
    /// The call succeeded, and the workspace is FAILED.
    WorkspaceFailed,
    /// The workspace is in RECOVERY.
    Recovery,
    /// A check of `doctor`, `cache probe` or `cache verify` failed.
    CheckFailed,
    /// `EX_USAGE` of sysexits.h, as for hearth's services; also for a value that the control plane refuses.
    Usage,
    /// `EX_UNAVAILABLE` of sysexits.h.
    Unreachable,
    /// 128 + SIGINT.
    Interrupted,
    /// 128 + SIGPIPE: what a shell reports for other programs that write into a closed pipe.
    ClosedPipe,
    /// As a command in a workspace ended, or by a signal.
    Of(u8),
}

impl Exit {
    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::WorkspaceFailed => 2,
            Self::Recovery => 3,
            Self::CheckFailed => 4,
            Self::Usage => 64,
            Self::Unreachable => 69,
            Self::Interrupted => 130,
            Self::ClosedPipe => 141,
            Self::Of(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The end of `--help`.
pub const HELP: &str = "\
Exit codes:
    0  success; for `up`, the workspace is READY
    1  the control plane returned an error
    2  `up`: the workspace is FAILED
    3  `up`: the workspace is in RECOVERY: its devcontainer failed, and the default image or, after a hook failed, its own
       container runs, in which it can be repaired
    4  `doctor`, `cache probe`, `cache verify`: a check failed
   64  wrong usage, or an argument that the control plane refuses
   69  the control plane cannot be reached, or the connection to it was lost and could not be restored
  130  interrupted; a preparation that has begun continues in the background
  141  the output was piped into a program that has ended
  exec, shell and ssh end as their command does: with its exit code, or 128 and the number of the signal that ended it";

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
            Exit::CheckFailed,
            Exit::Usage,
            Exit::Unreachable,
            Exit::Interrupted,
            Exit::ClosedPipe,
        ] {
            let listed = HELP
                .lines()
                .any(|line| line.trim_start().starts_with(&format!("{}  ", exit.code())));
            assert!(listed, "{exit:?}");
        }
    }
}
