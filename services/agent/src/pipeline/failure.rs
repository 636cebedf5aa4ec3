use hearth_api::v1::{Failure, FailureReason, PipelineStep};

use super::{context::Context, hooks::Hook};
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

/// The attempt was not ready in time: names what it was at, with the last lines of that.
pub fn timed_out(cx: &Context<'_>, hook: Option<Hook>) -> Failure {
    let current = cx.recorder.current();
    let what = match (hook, &current.description) {
        (Some(hook), _) => format!("{hook} has not ended"),
        (None, Some(step)) => format!("hearth still {step}"),
        (None, None) => "nothing had begun".to_owned(),
    };
    let limit = cx.job.time_limit().as_secs();
    Failure {
        output_tail: current.tail,
        ..failure(
            FailureReason::TimedOut,
            current.step,
            format!("it was not ready within {limit} s: {what}"),
        )
    }
}
