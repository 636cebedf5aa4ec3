//! Names of the contract's enum values. One that this client does not know yet is shown as its number.

use hearth_api::v1::{
    AccessCheckKind, AccessCheckStatus, BuildStepStatus, CacheSkipReason, ClientScope,
    EntryCheckKind, FailureReason, ImageStore, NodeState, PipelineStep, PushOutcome, StopCause,
    WorkspaceState,
};
use tonic::Code;

/// A function for each enum, from a field's number to the name without the enum's prefix.
macro_rules! names {
    ($($(#[$example:meta])* $function:ident = $case:ident($kind:ident, $prefix:literal);)*) => {$(
        $(#[$example])*
        pub(crate) fn $function(value: i32) -> String {
            $case($kind::try_from(value).map(|kind| kind.as_str_name()), $prefix, value)
        }
    )*};
}

names! {
    /// `READY`
    state = upper(WorkspaceState, "WORKSPACE_STATE_");
    /// `BUILD_FAILED`
    failure_reason = upper(FailureReason, "FAILURE_REASON_");
    /// `idle`
    stop_cause = lower(StopCause, "STOP_CAUSE_");
    /// `ONLINE`
    node_state = upper(NodeState, "NODE_STATE_");
    /// `clone`
    step = lower(PipelineStep, "PIPELINE_STEP_");
    /// `cached`
    build_status = lower(BuildStepStatus, "BUILD_STEP_STATUS_");
    /// `no devcontainer`
    skip_reason = lower(CacheSkipReason, "CACHE_SKIP_REASON_");
    /// `login failed`
    push_outcome = lower(PushOutcome, "PUSH_OUTCOME_");
    /// `containerd`
    image_store = lower(ImageStore, "IMAGE_STORE_");
    /// `git read`
    access_check = lower(AccessCheckKind, "ACCESS_CHECK_KIND_");
    /// `attestation`
    entry_check = lower(EntryCheckKind, "ENTRY_CHECK_KIND_");
    /// `FAILED`
    access_status = upper(AccessCheckStatus, "ACCESS_CHECK_STATUS_");
    /// `prepare`
    scope = lower(ClientScope, "CLIENT_SCOPE_");
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
