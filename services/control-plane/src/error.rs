use std::sync::Arc;

use hearth_api::v1::WorkspaceState;
use hearth_domain::{Name, WorkspaceId};
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
    #[error("workspace {id} {}", why_not(.state, .id))]
    NotNow {
        id: WorkspaceId,
        state: WorkspaceState,
    },
    #[error("workspace {id} {why}")]
    WorkspaceNotReady { id: WorkspaceId, why: String },
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
        "this client has {most} streams of events open, a quarter of those that may be open; close some, or have the operator raise --max-streams (HEARTH_MAX_STREAMS)"
    )]
    TooManyOwnStreams { most: u32 },
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
    #[error("{0}")]
    NoSuchRef(String),
    #[error("{0}")]
    RepositoryUnavailable(String),
    #[error("{0}")]
    NodesBusy(String),
    #[error(
        "no image was built for workspace {0}, or the log of its build is not kept any more: `hearth logs {0}` has its events"
    )]
    BuildLogUnknown(WorkspaceId),
    #[error("the session token is missing, or is not that of the workspace's node: register again")]
    SessionUnknown,
    /// What is wrong with the caller's proof, and what to do.
    #[error("{0}")]
    CallerUnknown(String),
    /// What the caller may not do, and who may.
    #[error("{0}")]
    NotAllowed(String),
    #[error("there is no client {0}; `hearth client ls` lists them")]
    ClientUnknown(Name),
    #[error(
        "there is or was a client {0}; choose another name: certificates with this one may still be about"
    )]
    ClientNameInUse(Name),
    #[error("the control plane has no CA, so it issues no certificates: use a token")]
    NoCertificateAuthority,
    #[error(
        "the control plane keeps no secrets: start it with --secrets-key-file (HEARTH_SECRETS_KEY_FILE)"
    )]
    NoSecretsKey,
    #[error("there is no secret {name} for {repositories}; `hearth secret ls` lists them")]
    SecretUnknown { name: String, repositories: String },
    #[error(
        "there are {max} secrets, which is as many as are allowed; delete some that are not needed (`hearth secret rm`)"
    )]
    TooManySecrets { max: u32 },
    #[error("the secret is not set: {0}")]
    SecretUnsealed(String),
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
            StoreError::NotNow(id, state) => Self::NotNow { id, state },
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
            CallError::Store(_)
            | CallError::NoRandomness(_)
            | CallError::SecretUnsealed(_)
            | CallError::Panicked(_) => {
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
            CallError::NotNow { .. } => Reason::WorkspaceNotReady,
            CallError::WorkspaceNotReady { .. } => Reason::WorkspaceNotReady,
            CallError::NodeLost(_)
            | CallError::NodeLeft(_)
            | CallError::NodeUnavailable { .. }
            | CallError::NodeOfWorkspaceGone(_)
            | CallError::NoNode
            | CallError::AgentFailed { .. } => Reason::NodeUnavailable,
            CallError::NodeOnline(_) | CallError::NodeInUse { .. } => Reason::NodeInUse,
            CallError::RequestIdReused => Reason::RequestIdReused,
            CallError::TooManyStreams { .. } | CallError::TooManyOwnStreams { .. } => {
                Reason::TooManyStreams
            }
            CallError::StreamUnread => Reason::StreamUnread,
            CallError::AttemptUnknown { .. } => Reason::AttemptUnknown,
            CallError::CacheReadOnly => Reason::CacheReadOnly,
            CallError::CacheMismatch(_) => Reason::CacheMismatch,
            CallError::RegistryUnavailable { .. } => Reason::RegistryUnavailable,
            CallError::CacheKeyUnknown(_) => Reason::CacheKeyUnknown,
            CallError::CacheEntryUnknown => Reason::CacheEntryUnknown,
            CallError::RefUnknown | CallError::NoSuchRef(_) => Reason::RefUnknown,
            CallError::RepositoryUnavailable(_) => Reason::RepositoryUnavailable,
            CallError::NodesBusy(_) => Reason::Overloaded,
            CallError::BuildLogUnknown(_) => Reason::BuildLogUnknown,
            CallError::SessionUnknown => Reason::SessionUnknown,
            CallError::CallerUnknown(_) => Reason::CallerUnknown,
            CallError::NotAllowed(_) => Reason::NotAllowed,
            CallError::ClientUnknown(_) => Reason::TokenUnknown,
            CallError::ClientNameInUse(_) => Reason::NameInUse,
            CallError::NoCertificateAuthority => Reason::NoCertificateAuthority,
            CallError::NoSecretsKey => Reason::NoSecretsKey,
            CallError::SecretUnknown { .. } => Reason::SecretUnknown,
            CallError::TooManySecrets { .. } => Reason::TooManySecrets,
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

/// Why a workspace cannot be stopped or started now, and what to do.
fn why_not(state: &WorkspaceState, id: &WorkspaceId) -> String {
    match state {
        WorkspaceState::Pending | WorkspaceState::Preparing => {
            format!("is being prepared: wait until it is ready, or remove it with `hearth rm {id}`")
        }
        WorkspaceState::Lost => format!(
            "has lost its container: it was removed; prepare it anew with `hearth up --workspace {id}`"
        ),
        _ => format!(
            "was never ready, so there is nothing to stop or start; prepare it anew with `hearth up --workspace {id}`"
        ),
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
#[path = "error_tests.rs"]
mod tests;
