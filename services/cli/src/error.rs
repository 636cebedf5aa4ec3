use std::{error::Error as _, io, time::Duration};

use hearth_domain::text::printable_line;
use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt as _};

use crate::{address::Address, exit::Exit, faults::Given, render::names, unreachable::Unreachable};

/// Why a command ended without a result.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The arguments do not fit together.
    Usage(String),
    /// There is no control plane at the address.
    Unreachable(Box<Unreachable>),
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
    /// The connection or its stream broke, or the control plane is stopping: repeat the call.
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
        (Code::Unavailable | Code::ResourceExhausted, Some(info)) if is_passing(&info.reason) => {
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

/// Whether a refusal concerns the stream, the process or how much is asked, and not what was asked for.
fn is_passing(reason: &str) -> bool {
    matches!(
        reason,
        "SHUTTING_DOWN" | "STREAM_UNREAD" | "TOO_MANY_STREAMS" | "TOO_MANY_CALLS" | "OVERLOADED"
    )
}

impl CliError {
    /// The error of a call that is made once.
    pub(crate) fn call(address: &Address, status: Status) -> Self {
        match meaning(&status) {
            // One that has too much to do is there.
            Meaning::Broken { .. } if status.code() != Code::ResourceExhausted => {
                Self::Unreachable(Box::new(Unreachable::new(address, Some(&status))))
            }
            Meaning::Broken { .. } | Meaning::Trimmed { .. } | Meaning::Answer => {
                Self::Call(Box::new(status))
            }
        }
    }

    /// The same error, seen as what it is when the process at `address` does not know the call: no control plane.
    pub(crate) fn of(self, address: &Address) -> Self {
        match self {
            Self::Call(status) if is_foreign(&status) => {
                Self::Unreachable(Box::new(Unreachable::not_a_control_plane(address)))
            }
            other => other,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Unreachable(_) | Self::Lost { .. } => Exit::Unreachable,
            Self::Call(status) if !violations(status).is_empty() => Exit::Usage,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::ClosedPipe,
            Self::Call(_) | Self::Output(_) | Self::Local(_) => Exit::Error,
        }
    }

    /// The lines for stderr; none when the reader of the output has ended. `given` has the arguments, which lines about
    /// a malformed field name.
    pub(crate) fn lines(&self, given: &Given) -> Vec<String> {
        match self {
            Self::Usage(text) => vec![format!("hearth: {text}")],
            Self::Unreachable(unreachable) => unreachable.lines().into(),
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
            Self::Call(status) => call_lines(status, given),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            Self::Output(error) => vec![format!("hearth: cannot write the output: {error}")],
            Self::Local(error) => {
                vec![format!("hearth: {}", printable_line(&format!("{error:#}")))]
            }
        }
    }
}

/// Whether the process that answered does not have the call, or is no gRPC server at all: every status of hearth carries an
/// `ErrorInfo`.
fn is_foreign(status: &Status) -> bool {
    let is_http = status.message().starts_with("grpc-status header missing");
    (status.code() == Code::Unimplemented || is_http) && status.get_details_error_info().is_none()
}

/// The malformed fields that a status names.
fn violations(status: &Status) -> Vec<FieldViolation> {
    let bad = status.get_details_bad_request();
    bad.map(|bad| bad.field_violations).unwrap_or_default()
}

/// A line for each malformed field; or the message, the reason and what to do.
fn call_lines(status: &Status, given: &Given) -> Vec<String> {
    let violations = violations(status);
    if !violations.is_empty() {
        let line = |violation: &FieldViolation| {
            let what = printable_line(&violation.description);
            format!("hearth: {}", given.of_field(&violation.field, &what))
        };
        return violations.iter().map(line).collect();
    }
    let details = status.get_error_details();
    let mut lines = vec![format!("hearth: {}", printable_line(status.message()))];
    let code = names::code(status.code());
    lines.push(match details.error_info() {
        Some(info) => format!("  reason {} ({code})", printable_line(&info.reason)),
        None => format!("  status {code}"),
    });
    if let Some(advice) = details.error_info().and_then(|info| advice(&info.reason)) {
        lines.push(format!("  {advice}"));
    }
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        lines.push(format!("  try again in {} s", delay.as_secs()));
    }
    lines
}

/// What helps against a reason, where the message does not say it.
fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "WORKSPACE_UNKNOWN" => "list the workspaces with: hearth ls",
        "NODE_UNAVAILABLE" => "see which nodes are online with: hearth nodes",
        "REQUEST_ID_REUSED" => "use another --request-id, or the same arguments as the first time",
        "CACHE_KEY_UNKNOWN" => "see how far it is with: hearth logs ID",
        "CALLER_UNKNOWN" => {
            "log in with: hearth login URL; or name a file with a token by --token-file or HEARTH_TOKEN_FILE"
        }
        "NOT_ALLOWED" => "see who you are and what you may with: hearth doctor",
        "NAME_IN_USE" => {
            "choose another name; that of a client that was revoked is not given again"
        }
        "REF_UNKNOWN" => "prepare one first, with: hearth up REPO --ref REF --config NAME",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use hearth_runtime::{FieldFaults, Reason, status, status_with_metadata};

    use super::*;
    use crate::args::Cli;

    #[test]
    fn a_malformed_field_is_told_once_by_its_argument_and_is_wrong_usage() {
        let matches = Cli::command()
            .try_get_matches_from(["hearth", "up", "https://git.example/a", "--config", "c"])
            .expect("good arguments");
        let command = Cli::command();
        let given = Given { command, matches };
        let mut faults = FieldFaults::default();
        faults.add("spec.config", "must be the name of one \u{1b}[31mfolder");
        faults.add("spec.future", "must not be set");
        let error = CliError::Call(Box::new(faults.into_result().unwrap_err()));
        assert_eq!(
            error.lines(&given),
            [
                "hearth: --config 'c' must be the name of one folder",
                "hearth: spec.future must not be set",
            ]
        );
        assert_eq!(error.exit(), Exit::Usage);
        let busy = CliError::Call(Box::new(status(Reason::NodeUnavailable, "no node")));
        assert_eq!(
            busy.lines(&given),
            [
                "hearth: no node",
                "  reason NODE_UNAVAILABLE (UNAVAILABLE)",
                "  see which nodes are online with: hearth nodes",
                "  try again in 5 s"
            ]
        );
        assert_eq!(busy.exit(), Exit::Error);
    }

    #[test]
    fn an_answer_that_is_not_hearths_means_that_there_is_no_control_plane() {
        let address: Address = "http://127.0.0.1:7401".parse().expect("an address");
        let http = "grpc-status header missing, mapped from HTTP status code 404";
        for (answer, exit) in [
            (Status::unimplemented(""), Exit::Unreachable),
            (Status::internal(http), Exit::Unreachable),
            (Status::internal("too large"), Exit::Error),
            (status(Reason::Internal, "a bug"), Exit::Error),
        ] {
            let error = CliError::Call(Box::new(answer)).of(&address);
            assert_eq!(error.exit(), exit, "{error:?}");
        }
    }

    #[test]
    fn only_what_concerns_the_stream_or_a_process_that_stops_is_tried_again() {
        for reason in Reason::ALL {
            let expected = match reason {
                Reason::ShuttingDown
                | Reason::StreamUnread
                | Reason::TooManyCalls
                | Reason::Overloaded => Meaning::Broken {
                    hint: Some(Duration::from_secs(1)),
                },
                Reason::TooManyStreams => Meaning::Broken {
                    hint: Some(Duration::from_secs(5)),
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
