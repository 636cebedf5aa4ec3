use std::sync::Arc;

use hearth_domain::WorkspaceId;
use hearth_runtime::{Panicked, Reason, status, status_with_metadata};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::store::StoreError;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Fields of the request are malformed; made by `FieldFaults`.
    #[error("{}", .0.message())]
    Malformed(Box<Status>),
    #[error("there is no workspace {0}")]
    WorkspaceUnknown(WorkspaceId),
    #[error("workspace {0} is being deleted")]
    WorkspaceDeleting(WorkspaceId),
    #[error("there is no node {0:?}; `hearth nodes` lists them")]
    NodeUnknown(String),
    #[error(
        "node {0} does not answer; check its agent and the machine, `hearth nodes` shows when it was heard last"
    )]
    NodeLost(String),
    #[error("node {0} has left: its agent was stopped; start it again, or use another node")]
    NodeLeft(String),
    #[error(
        "node {node} cannot work now: {why}; it takes work again when that has ended, or use another node"
    )]
    NodeUnavailable { node: String, why: String },
    #[error(
        "node {0} is online; stop its agent first, or remove it with --force: it comes back when its agent still runs"
    )]
    NodeOnline(String),
    #[error(
        "node {node} has workspaces, {workspaces} of them; remove them first (`hearth rm --force ID`), or remove the node with --force: they are then LOST"
    )]
    NodeInUse { node: String, workspaces: u32 },
    #[error(
        "node {0} does not answer; try again when it is back, or delete the workspace with --force: what is on the node then stays there until its agent registers again"
    )]
    NodeOfWorkspaceGone(String),
    #[error(
        "workspace {id} is not in quarantine on node {node}; `hearth nodes` lists those that are, and `hearth rm` removes others"
    )]
    NotQuarantined { node: String, id: WorkspaceId },
    #[error("no node is online; start an agent that registers with this control plane")]
    NoNode,
    #[error("node {node}: {why}")]
    AgentFailed { node: String, why: String },
    #[error("the request id was used with another payload")]
    RequestIdReused,
    #[error("events before {oldest} are no longer stored")]
    Trimmed { oldest: u64 },
    #[error(
        "{max} streams of events are open, which is as many as are allowed; try again when some have ended, or raise --max-streams (HEARTH_MAX_STREAMS) of the control plane"
    )]
    TooManyStreams { max: u32 },
    #[error(
        "nothing was read from this stream for minutes, so it was ended; continue with WatchWorkspace after the last event that was received"
    )]
    StreamUnread,
    #[error("attempt {attempt} of workspace {id:?} is unknown, or not the newest")]
    AttemptUnknown { id: String, attempt: u32 },
    #[error("the attempt may not write to the cache")]
    CacheReadOnly,
    #[error("{0}")]
    CacheMismatch(String),
    #[error("the control plane cannot look at {image}: {why}; the same call is worth repeating")]
    RegistryUnavailable { image: String, why: String },
    #[error("the cache key of workspace {0:?} is not known yet")]
    CacheKeyUnknown(String),
    #[error("the cache has no such entry; `hearth cache ls` lists them")]
    CacheEntryUnknown,
    #[error("no workspace has been prepared from this ref and configuration of the repository")]
    RefUnknown,
    #[error("the session token is missing, or is not that of the workspace's node: register again")]
    SessionUnknown,
    #[error("the system's random number generator failed: {0}")]
    NoRandomness(String),
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error("the control plane is shutting down")]
    ShuttingDown,
    #[error(transparent)]
    Store(StoreError),
    /// The failure of work that several callers wait for.
    #[error(transparent)]
    Shared(Arc<CallError>),
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::WorkspaceUnknown(id) => Self::WorkspaceUnknown(id),
            StoreError::AttemptOutdated(attempt) => Self::AttemptUnknown {
                id: attempt.workspace.to_string(),
                attempt: attempt.number,
            },
            StoreError::Deleting(id) => Self::WorkspaceDeleting(id),
            StoreError::RequestIdReused => Self::RequestIdReused,
            StoreError::NoNode => Self::NoNode,
            StoreError::Corrupt { .. }
            | StoreError::LittleRoom { .. }
            | StoreError::InUse(_)
            | StoreError::Folder { .. }
            | StoreError::Database(_)
            | StoreError::Migrate(_) => Self::Store(error),
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Malformed(Box::new(status))
    }
}

impl From<Arc<CallError>> for CallError {
    fn from(error: Arc<CallError>) -> Self {
        Self::Shared(error)
    }
}

impl From<&CallError> for Status {
    fn from(error: &CallError) -> Self {
        let reason = match error {
            CallError::Malformed(malformed) => return Self::clone(malformed),
            CallError::Shared(error) => return Self::from(&**error),
            CallError::NodeUnknown(_) => return node_unknown(error.to_string()),
            CallError::Trimmed { oldest } => {
                return status_with_metadata(
                    Reason::HistoryTrimmed,
                    error.to_string(),
                    [("oldest_sequence", oldest.to_string())],
                );
            }
            CallError::Store(StoreError::Corrupt {
                table: "workspaces",
                row,
                ..
            }) => {
                tracing::error!(%error, "a call failed");
                let message = format!(
                    "workspace {row} cannot be read from the database; its log has details. Remove it with: hearth rm {row}"
                );
                return status(Reason::Internal, message);
            }
            CallError::Store(StoreError::LittleRoom { .. }) => Reason::DiskFull,
            CallError::Store(failed) if failed.outage().is_some() => {
                tracing::error!(%error, "a call failed");
                let message = failed.outage().unwrap_or_default();
                return status(Reason::DatabaseUnavailable, message);
            }
            CallError::Store(_) | CallError::NoRandomness(_) | CallError::Panicked(_) => {
                tracing::error!(%error, "a call failed");
                return status(
                    Reason::Internal,
                    "an internal error of the control plane; its log has details",
                );
            }
            CallError::WorkspaceUnknown(_) | CallError::NotQuarantined { .. } => {
                Reason::WorkspaceUnknown
            }
            CallError::WorkspaceDeleting(_) => Reason::WorkspaceDeleting,
            CallError::NodeLost(_)
            | CallError::NodeLeft(_)
            | CallError::NodeUnavailable { .. }
            | CallError::NodeOfWorkspaceGone(_)
            | CallError::NoNode
            | CallError::AgentFailed { .. } => Reason::NodeUnavailable,
            CallError::NodeOnline(_) | CallError::NodeInUse { .. } => Reason::NodeInUse,
            CallError::RequestIdReused => Reason::RequestIdReused,
            CallError::TooManyStreams { .. } => Reason::TooManyStreams,
            CallError::StreamUnread => Reason::StreamUnread,
            CallError::AttemptUnknown { .. } => Reason::AttemptUnknown,
            CallError::CacheReadOnly => Reason::CacheReadOnly,
            CallError::CacheMismatch(_) => Reason::CacheMismatch,
            CallError::RegistryUnavailable { .. } => Reason::RegistryUnavailable,
            CallError::CacheKeyUnknown(_) => Reason::CacheKeyUnknown,
            CallError::CacheEntryUnknown => Reason::CacheEntryUnknown,
            CallError::RefUnknown => Reason::RefUnknown,
            CallError::SessionUnknown => Reason::SessionUnknown,
            CallError::ShuttingDown => Reason::ShuttingDown,
        };
        status(reason, error.to_string())
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        Self::from(&error)
    }
}

/// An unknown node is both a missing resource and a malformed field: clients may look for either.
fn node_unknown(message: String) -> Status {
    let plain = status(Reason::NodeUnknown, &message);
    let mut details = plain.get_error_details();
    details.add_bad_request_violation(
        "node",
        "is no node of this control plane; `hearth nodes` lists them",
    );
    Status::with_error_details(plain.code(), message, details)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn id() -> WorkspaceId {
        "w".parse().expect("an id")
    }

    #[test]
    fn every_failure_meets_its_status() {
        let table = [
            (
                CallError::WorkspaceUnknown(id()),
                Code::NotFound,
                "WORKSPACE_UNKNOWN",
            ),
            (
                CallError::WorkspaceDeleting(id()),
                Code::FailedPrecondition,
                "WORKSPACE_DELETING",
            ),
            (
                CallError::NodeUnknown("n".into()),
                Code::NotFound,
                "NODE_UNKNOWN",
            ),
            (
                CallError::NodeLost("n".into()),
                Code::Unavailable,
                "NODE_UNAVAILABLE",
            ),
            (
                CallError::NodeLeft("n".into()),
                Code::Unavailable,
                "NODE_UNAVAILABLE",
            ),
            (CallError::NoNode, Code::Unavailable, "NODE_UNAVAILABLE"),
            (
                CallError::NodeOnline("n".into()),
                Code::FailedPrecondition,
                "NODE_IN_USE",
            ),
            (
                CallError::NodeInUse {
                    node: "n".into(),
                    workspaces: 2,
                },
                Code::FailedPrecondition,
                "NODE_IN_USE",
            ),
            (
                CallError::AgentFailed {
                    node: "n".into(),
                    why: "x".into(),
                },
                Code::Unavailable,
                "NODE_UNAVAILABLE",
            ),
            (
                CallError::RequestIdReused,
                Code::AlreadyExists,
                "REQUEST_ID_REUSED",
            ),
            (
                CallError::Trimmed { oldest: 7 },
                Code::OutOfRange,
                "HISTORY_TRIMMED",
            ),
            (
                CallError::AttemptUnknown {
                    id: "w".into(),
                    attempt: 1,
                },
                Code::NotFound,
                "ATTEMPT_UNKNOWN",
            ),
            (
                CallError::CacheReadOnly,
                Code::PermissionDenied,
                "CACHE_READ_ONLY",
            ),
            (
                CallError::CacheMismatch("x".into()),
                Code::FailedPrecondition,
                "CACHE_MISMATCH",
            ),
            (
                CallError::RegistryUnavailable {
                    image: "r/i@d".into(),
                    why: "x".into(),
                },
                Code::Unavailable,
                "REGISTRY_UNAVAILABLE",
            ),
            (
                CallError::CacheKeyUnknown("w".into()),
                Code::FailedPrecondition,
                "CACHE_KEY_UNKNOWN",
            ),
            (
                CallError::CacheEntryUnknown,
                Code::NotFound,
                "CACHE_ENTRY_UNKNOWN",
            ),
            (CallError::RefUnknown, Code::NotFound, "REF_UNKNOWN"),
            (
                CallError::SessionUnknown,
                Code::Unauthenticated,
                "SESSION_UNKNOWN",
            ),
            (
                CallError::NoRandomness("planted-detail".into()),
                Code::Internal,
                "INTERNAL",
            ),
            (CallError::ShuttingDown, Code::Unavailable, "SHUTTING_DOWN"),
            (
                CallError::TooManyStreams { max: 7 },
                Code::ResourceExhausted,
                "TOO_MANY_STREAMS",
            ),
            (CallError::StreamUnread, Code::Unavailable, "STREAM_UNREAD"),
            (
                CallError::Store(StoreError::LittleRoom {
                    folder: "/var/lib/hearth".into(),
                    free_mib: 7,
                    least_mib: 128,
                }),
                Code::ResourceExhausted,
                "DISK_FULL",
            ),
            (
                CallError::Store(StoreError::Database(sqlx::Error::PoolTimedOut)),
                Code::Unavailable,
                "DATABASE_UNAVAILABLE",
            ),
            (
                CallError::Store(StoreError::Corrupt {
                    table: "workspaces",
                    row: "w".into(),
                    why: "planted-detail".into(),
                }),
                Code::Internal,
                "INTERNAL",
            ),
        ];
        for (error, code, reason) in table {
            let shown = format!("{error:?}");
            let status = Status::from(CallError::Shared(Arc::new(error)));
            assert_eq!(status.code(), code, "{shown}");
            let details = status.get_error_details();
            assert_eq!(
                details.error_info().map(|info| info.reason.as_str()),
                Some(reason),
                "{shown}"
            );
            assert!(!status.message().contains("planted"), "{status:?}");
        }
    }

    #[test]
    fn an_unknown_node_names_its_field_and_trimmed_history_its_oldest_event() {
        let details = Status::from(CallError::NodeUnknown("n7".into())).get_error_details();
        let violations = &details.bad_request().expect("bad request").field_violations;
        assert_eq!(violations[0].field, "node");
        let details = Status::from(CallError::Trimmed { oldest: 7 }).get_error_details();
        let metadata = &details.error_info().expect("error info").metadata;
        assert_eq!(metadata["oldest_sequence"], "7");
    }
}
