use std::{error::Error as _, fmt::Display, io, time::Duration};

use hearth_domain::text::printable_line;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{exit::Exit, render::names};

/// Why a command ended without a result.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The arguments do not fit together.
    Usage(String),
    /// No connection to the control plane could be made.
    Unreachable {
        /// Its address.
        address: String,
        /// The innermost cause.
        cause: String,
    },
    /// The connection was lost and could not be restored in time.
    Lost {
        /// How long it was tried.
        limit: Duration,
        /// The last failure.
        status: Box<Status>,
        /// How to continue later.
        advice: String,
    },
    /// The control plane answered with an error.
    Call(Box<Status>),
    /// Stdout cannot be written.
    Output(io::Error),
    /// A failure within the client.
    Local(anyhow::Error),
}

/// What a status means for a caller that can repeat the call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The connection broke or the control plane is stopping: repeat the call.
    Broken {
        /// The delay that the control plane asks for.
        hint: Option<Duration>,
    },
    /// Some of the requested events are no longer kept.
    Trimmed {
        /// Sequence of the oldest that is kept.
        oldest: u64,
    },
    /// A final answer.
    Answer,
}

/// Tells a broken connection from an answer. Every status of hearth carries an `ErrorInfo`; one without it comes from the
/// transport or from a proxy.
pub(crate) fn meaning(status: &Status) -> Meaning {
    let info = status.get_details_error_info();
    let hint = status
        .get_details_retry_info()
        .and_then(|retry| retry.retry_delay);
    match (status.code(), info) {
        (Code::Unavailable, None) => Meaning::Broken { hint },
        (Code::Unavailable, Some(info)) if info.reason == "SHUTTING_DOWN" => {
            Meaning::Broken { hint }
        }
        // tonic's status for a stream that was reset, or that ended without trailers.
        (Code::Unknown | Code::Cancelled, None) => Meaning::Broken { hint },
        // Without a source it is a message that cannot be decoded, which repeating does not change.
        (Code::Internal, None) if status.source().is_some() => Meaning::Broken { hint },
        (Code::OutOfRange, Some(info)) => {
            let oldest = info.metadata.get("oldest_sequence");
            match oldest.and_then(|text| text.parse().ok()) {
                Some(oldest) => Meaning::Trimmed { oldest },
                None => Meaning::Answer,
            }
        }
        (
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated,
            _,
        ) => Meaning::Answer,
    }
}

impl CliError {
    /// The error of a call that is made once.
    pub(crate) fn call(address: &impl Display, status: Status) -> Self {
        match meaning(&status) {
            Meaning::Broken { .. } => Self::Unreachable {
                address: address.to_string(),
                cause: status.message().to_owned(),
            },
            Meaning::Trimmed { .. } | Meaning::Answer => Self::Call(Box::new(status)),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Unreachable { .. } | Self::Lost { .. } => Exit::Unreachable,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::ClosedPipe,
            Self::Call(_) | Self::Output(_) | Self::Local(_) => Exit::Error,
        }
    }

    /// The lines for stderr; none when the reader of the output has ended.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Usage(text) => vec![format!("hearth: {}", printable_line(text))],
            Self::Unreachable { address, cause } => vec![format!(
                "hearth: cannot connect to the control plane at {}: {}",
                printable_line(address),
                printable_line(cause)
            )],
            Self::Lost {
                limit,
                status,
                advice,
            } => vec![
                format!(
                    "hearth: the connection to the control plane was lost and not restored within {} s: {}",
                    limit.as_secs(),
                    printable_line(status.message())
                ),
                format!("  {}", printable_line(advice)),
            ],
            Self::Call(status) => call_lines(status),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            Self::Output(error) => vec![format!("hearth: cannot write the output: {error}")],
            Self::Local(error) => {
                vec![format!("hearth: {}", printable_line(&format!("{error:#}")))]
            }
        }
    }
}

/// The message, then one line for each detail.
fn call_lines(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let mut lines = vec![format!("hearth: {}", printable_line(status.message()))];
    for violation in details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default()
    {
        lines.push(format!(
            "  field {}: {}",
            printable_line(&violation.field),
            printable_line(&violation.description)
        ));
    }
    let code = names::code(status.code());
    lines.push(match details.error_info() {
        Some(info) => format!("  reason {} ({code})", printable_line(&info.reason)),
        None => format!("  status {code}"),
    });
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        lines.push(format!("  try again in {} s", delay.as_secs()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use hearth_runtime::{FieldFaults, Reason, status, status_with_metadata};

    use super::*;

    #[test]
    fn a_call_error_names_fields_and_reason_on_a_line_each() {
        let mut faults = FieldFaults::default();
        faults.add("spec.repository", "must not be empty");
        faults.add("spec.config", "must be the name of one \u{1b}[31mfolder");
        let error = CliError::Call(Box::new(faults.into_result().unwrap_err()));
        assert_eq!(
            error.lines(),
            [
                "hearth: spec.repository must not be empty; spec.config must be the name of one folder",
                "  field spec.repository: must not be empty",
                "  field spec.config: must be the name of one folder",
                "  reason INVALID_FIELD (INVALID_ARGUMENT)",
            ]
        );
        let busy = CliError::Call(Box::new(status(Reason::NodeUnavailable, "no node")));
        assert_eq!(
            busy.lines(),
            [
                "hearth: no node",
                "  reason NODE_UNAVAILABLE (UNAVAILABLE)",
                "  try again in 5 s"
            ]
        );
    }

    #[test]
    fn only_a_connection_that_broke_or_a_process_that_stops_is_tried_again() {
        for reason in Reason::ALL {
            let expected = match reason {
                Reason::ShuttingDown => Meaning::Broken {
                    hint: Some(Duration::from_secs(1)),
                },
                _ => Meaning::Answer,
            };
            assert_eq!(meaning(&status(reason, "text")), expected, "{reason:?}");
        }
        let broken = Meaning::Broken { hint: None };
        assert_eq!(meaning(&Status::unavailable("reset")), broken);
        assert_eq!(meaning(&Status::unknown("no trailers")), broken);
        assert_eq!(meaning(&Status::internal("cannot decode")), Meaning::Answer);
    }

    #[test]
    fn trimmed_history_says_where_to_continue() {
        let trimmed = status_with_metadata(
            Reason::HistoryTrimmed,
            "trimmed",
            [("oldest_sequence", "12".into())],
        );
        assert_eq!(meaning(&trimmed), Meaning::Trimmed { oldest: 12 });
    }
}
