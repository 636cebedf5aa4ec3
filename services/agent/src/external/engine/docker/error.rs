use bollard::errors::Error;
use hearth_domain::text::innermost_cause;

use crate::external::engine::api::EngineFailure;

/// Docker at this socket could not do what completes "could not".
pub(super) fn failed(socket: &str, action: &'static str) -> impl Fn(Error) -> EngineFailure {
    move |error| EngineFailure {
        action,
        cause: match error {
            Error::DockerResponseServerError { message, .. } => message,
            // They say which layer of the client failed, and neither where nor why.
            Error::HyperLegacyError { .. }
            | Error::HyperResponseError { .. }
            | Error::IOError { .. } => format!("{socket}: {}", innermost_cause(&error)),
            other => other.to_string(),
        },
    }
}

pub(super) fn is_absent(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

/// It was stopped, or started, already.
pub(super) fn is_unchanged(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError {
            status_code: 304,
            ..
        }
    )
}

/// A removal that another client has done, or is doing, is no error.
pub(super) fn absent_is_fine(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if is_absent(&error) || is_being_removed(&error) => Ok(()),
        other => other,
    }
}

/// "removal of container … is already in progress" (moby, `daemon/delete.go`). Other conflicts have the same code.
pub(super) fn is_being_removed(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError { status_code: 409, message }
            if message.contains("already in progress")
    )
}
