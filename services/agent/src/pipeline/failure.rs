use hearth_api::v1::{Failure, FailureReason, PipelineStep};

use crate::{attempt::without_escapes, external::process::ProcessFailure};

/// A failure in `step`.
pub fn failure(reason: FailureReason, step: PipelineStep, message: impl ToString) -> Failure {
    Failure {
        reason: reason.into(),
        message: message.to_string(),
        output_tail: String::new(),
        step: step.into(),
    }
}

/// The failure, with something that is known to be wrong and can be its cause.
pub fn with_cause(mut failure: Failure, cause: Option<&str>) -> Failure {
    if let Some(cause) = cause {
        failure.message = format!("{}; {cause}", failure.message.trim_end_matches('.'));
    }
    failure
}

/// A failure in `step` because of a command, with the last lines that the command printed.
pub fn process_failure(
    reason: FailureReason,
    step: PipelineStep,
    message: impl ToString,
    process: &ProcessFailure,
) -> Failure {
    let tail: Vec<_> = process.tail.lines().map(without_escapes).collect();
    Failure {
        output_tail: tail.join("\n"),
        ..failure(reason, step, message)
    }
}
