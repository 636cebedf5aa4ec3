//! Names of the contract's enum values. One that this client does not know yet is shown as its number.

use hearth_api::v1::{
    AccessCheckKind, AccessCheckStatus, BuildStepStatus, CacheSkipReason, FailureReason,
    ImageStore, NodeState, PipelineStep, PushOutcome, WorkspaceState,
};
use tonic::Code;

/// `READY`
pub(crate) fn state(value: i32) -> String {
    upper(
        WorkspaceState::try_from(value).map(|state| state.as_str_name()),
        "WORKSPACE_STATE_",
        value,
    )
}

/// `BUILD_FAILED`
pub(crate) fn failure_reason(value: i32) -> String {
    upper(
        FailureReason::try_from(value).map(|reason| reason.as_str_name()),
        "FAILURE_REASON_",
        value,
    )
}

/// `ONLINE`
pub(crate) fn node_state(value: i32) -> String {
    upper(
        NodeState::try_from(value).map(|state| state.as_str_name()),
        "NODE_STATE_",
        value,
    )
}

/// `clone`
pub(crate) fn step(value: i32) -> String {
    lower(
        PipelineStep::try_from(value).map(|step| step.as_str_name()),
        "PIPELINE_STEP_",
        value,
    )
}

/// `cached`
pub(crate) fn build_status(value: i32) -> String {
    lower(
        BuildStepStatus::try_from(value).map(|status| status.as_str_name()),
        "BUILD_STEP_STATUS_",
        value,
    )
}

/// `no devcontainer`
pub(crate) fn skip_reason(value: i32) -> String {
    lower(
        CacheSkipReason::try_from(value).map(|reason| reason.as_str_name()),
        "CACHE_SKIP_REASON_",
        value,
    )
}

/// `login failed`
pub(crate) fn push_outcome(value: i32) -> String {
    lower(
        PushOutcome::try_from(value).map(|outcome| outcome.as_str_name()),
        "PUSH_OUTCOME_",
        value,
    )
}

/// `containerd`
pub(crate) fn image_store(value: i32) -> String {
    lower(
        ImageStore::try_from(value).map(|store| store.as_str_name()),
        "IMAGE_STORE_",
        value,
    )
}

/// `git read`
pub(crate) fn access_check(value: i32) -> String {
    lower(
        AccessCheckKind::try_from(value).map(|kind| kind.as_str_name()),
        "ACCESS_CHECK_KIND_",
        value,
    )
}

/// `FAILED`
pub(crate) fn access_status(value: i32) -> String {
    upper(
        AccessCheckStatus::try_from(value).map(|status| status.as_str_name()),
        "ACCESS_CHECK_STATUS_",
        value,
    )
}

/// The name of a status code as the gRPC specification writes it.
pub(crate) fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn upper<E>(name: Result<&'static str, E>, prefix: &str, value: i32) -> String {
    match name {
        Ok(name) => name.strip_prefix(prefix).unwrap_or(name).to_owned(),
        Err(_) => format!("#{value}"),
    }
}

fn lower<E>(name: Result<&'static str, E>, prefix: &str, value: i32) -> String {
    upper(name, prefix, value).to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_unknown_values_are_numbers() {
        assert_eq!(state(WorkspaceState::Recovery.into()), "RECOVERY");
        assert_eq!(
            failure_reason(FailureReason::RefNotFound.into()),
            "REF_NOT_FOUND"
        );
        assert_eq!(step(PipelineStep::Container.into()), "container");
        assert_eq!(
            skip_reason(CacheSkipReason::NoDevcontainer.into()),
            "no devcontainer"
        );
        assert_eq!(
            push_outcome(PushOutcome::SkippedReadOnly.into()),
            "skipped read only"
        );
        assert_eq!(state(99), "#99");
    }
}
