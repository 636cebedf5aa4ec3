use std::{collections::HashMap, str::FromStr, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every `google.rpc.ErrorInfo` that hearth sends.
const DOMAIN: &str = "hearth";

/// Reasons in `google.rpc.ErrorInfo`: one for every way in which a call can fail. The list only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A field of the request is malformed; `BadRequest` names it.
    InvalidField,
    /// There is no such workspace.
    WorkspaceUnknown,
    /// There is no such node.
    NodeUnknown,
    /// The node does not answer, or no node is available for the work.
    NodeUnavailable,
    /// The node is online, or has workspaces.
    NodeInUse,
    /// The request id was used with another payload.
    RequestIdReused,
    /// The events asked for are no longer kept.
    HistoryTrimmed,
    /// There is no such attempt, or it has been replaced.
    AttemptUnknown,
    /// A newer attempt of the workspace is known.
    AttemptOutdated,
    /// The attempt may not write to the cache.
    CacheReadOnly,
    /// What was said of an image in the cache is not what the control plane sees.
    CacheMismatch,
    /// The registry of the cache does not answer the control plane.
    RegistryUnavailable,
    /// The attempt has not computed its cache key yet.
    CacheKeyUnknown,
    /// The cache has no such entry.
    CacheEntryUnknown,
    /// No workspace was prepared from this ref and configuration of the repository.
    RefUnknown,
    /// The repository cannot be read.
    RepositoryUnavailable,
    /// The repository's host did not accept the login, or asks for one.
    LoginRefused,
    /// Nothing was built for the workspace, or the log of that is not kept any more.
    BuildLogUnknown,
    /// The caller did not prove that it is the agent of the node.
    SessionUnknown,
    /// The caller did not prove who it is.
    CallerUnknown,
    /// The caller may not make this call, or not for this repository.
    NotAllowed,
    /// The node is not let in: its token is not valid, or the name is another node's.
    JoinRefused,
    /// There is no such token or client.
    TokenUnknown,
    /// The name is used already.
    NameInUse,
    /// There is no CA to issue certificates.
    NoCertificateAuthority,
    /// There is no key to encrypt secrets with.
    NoSecretsKey,
    /// There is no such secret.
    SecretUnknown,
    /// There are as many secrets as are allowed.
    TooManySecrets,
    /// The caller makes more calls than it may.
    TooManyCalls,
    /// The process has more to do than it can.
    Overloaded,
    /// The request has more bytes than it may.
    MessageTooLarge,
    /// There was no answer in the time that the caller gave, or that any call may take.
    DeadlineExceeded,
    /// The workspace is being deleted.
    WorkspaceDeleting,
    /// The workspace is in a state in which this cannot be done.
    WorkspaceNotReady,
    /// Nothing listens on the port.
    PortUnreachable,
    /// As many sessions in workspaces are open on the node as are allowed.
    TooManySessions,
    /// As many streams of events are open as are allowed.
    TooManyStreams,
    /// Nothing was read from a stream of events for a long time.
    StreamUnread,
    /// The disk of the database is nearly full.
    DiskFull,
    /// The database cannot be used now.
    DatabaseUnavailable,
    /// The process is shutting down, or ends a connection that is old.
    ShuttingDown,
    /// The container engine refused or did not answer.
    EngineFailed,
    /// A bug or a failure in hearth itself. The caller gets no detail; the log has it.
    Internal,
}

impl Reason {
    /// All reasons, for tests that walk them.
    pub const ALL: [Self; 43] = [
        Self::InvalidField,
        Self::WorkspaceUnknown,
        Self::NodeUnknown,
        Self::NodeUnavailable,
        Self::NodeInUse,
        Self::RequestIdReused,
        Self::HistoryTrimmed,
        Self::AttemptUnknown,
        Self::AttemptOutdated,
        Self::CacheReadOnly,
        Self::CacheMismatch,
        Self::RegistryUnavailable,
        Self::CacheKeyUnknown,
        Self::CacheEntryUnknown,
        Self::RefUnknown,
        Self::RepositoryUnavailable,
        Self::LoginRefused,
        Self::BuildLogUnknown,
        Self::SessionUnknown,
        Self::CallerUnknown,
        Self::NotAllowed,
        Self::JoinRefused,
        Self::TokenUnknown,
        Self::NameInUse,
        Self::NoCertificateAuthority,
        Self::NoSecretsKey,
        Self::SecretUnknown,
        Self::TooManySecrets,
        Self::TooManyCalls,
        Self::Overloaded,
        Self::MessageTooLarge,
        Self::DeadlineExceeded,
        Self::WorkspaceDeleting,
        Self::WorkspaceNotReady,
        Self::PortUnreachable,
        Self::TooManySessions,
        Self::TooManyStreams,
        Self::StreamUnread,
        Self::DiskFull,
        Self::DatabaseUnavailable,
        Self::ShuttingDown,
        Self::EngineFailed,
        Self::Internal,
    ];

    /// The text that goes over the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidField => "INVALID_FIELD",
            Self::WorkspaceUnknown => "WORKSPACE_UNKNOWN",
            Self::NodeUnknown => "NODE_UNKNOWN",
            Self::NodeUnavailable => "NODE_UNAVAILABLE",
            Self::NodeInUse => "NODE_IN_USE",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
            Self::HistoryTrimmed => "HISTORY_TRIMMED",
            Self::AttemptUnknown => "ATTEMPT_UNKNOWN",
            Self::AttemptOutdated => "ATTEMPT_OUTDATED",
            Self::CacheReadOnly => "CACHE_READ_ONLY",
            Self::CacheMismatch => "CACHE_MISMATCH",
            Self::RegistryUnavailable => "REGISTRY_UNAVAILABLE",
            Self::CacheKeyUnknown => "CACHE_KEY_UNKNOWN",
            Self::CacheEntryUnknown => "CACHE_ENTRY_UNKNOWN",
            Self::RefUnknown => "REF_UNKNOWN",
            Self::RepositoryUnavailable => "REPOSITORY_UNAVAILABLE",
            Self::LoginRefused => "LOGIN_REFUSED",
            Self::BuildLogUnknown => "BUILD_LOG_UNKNOWN",
            Self::SessionUnknown => "SESSION_UNKNOWN",
            Self::CallerUnknown => "CALLER_UNKNOWN",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::JoinRefused => "JOIN_REFUSED",
            Self::TokenUnknown => "TOKEN_UNKNOWN",
            Self::NameInUse => "NAME_IN_USE",
            Self::NoCertificateAuthority => "NO_CERTIFICATE_AUTHORITY",
            Self::NoSecretsKey => "NO_SECRETS_KEY",
            Self::SecretUnknown => "SECRET_UNKNOWN",
            Self::TooManySecrets => "TOO_MANY_SECRETS",
            Self::TooManyCalls => "TOO_MANY_CALLS",
            Self::Overloaded => "OVERLOADED",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::WorkspaceDeleting => "WORKSPACE_DELETING",
            Self::WorkspaceNotReady => "WORKSPACE_NOT_READY",
            Self::PortUnreachable => "PORT_UNREACHABLE",
            Self::TooManySessions => "TOO_MANY_SESSIONS",
            Self::TooManyStreams => "TOO_MANY_STREAMS",
            Self::StreamUnread => "STREAM_UNREAD",
            Self::DiskFull => "DISK_FULL",
            Self::DatabaseUnavailable => "DATABASE_UNAVAILABLE",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::EngineFailed => "ENGINE_FAILED",
            Self::Internal => "INTERNAL",
        }
    }

    fn code(self) -> Code {
        match self {
            Self::InvalidField => Code::InvalidArgument,
            Self::WorkspaceUnknown
            | Self::NodeUnknown
            | Self::AttemptUnknown
            | Self::CacheEntryUnknown
            | Self::RefUnknown
            | Self::BuildLogUnknown
            | Self::SecretUnknown
            | Self::TokenUnknown => Code::NotFound,
            Self::NodeUnavailable
            | Self::StreamUnread
            | Self::DatabaseUnavailable
            | Self::RegistryUnavailable
            | Self::RepositoryUnavailable
            | Self::ShuttingDown
            | Self::EngineFailed => Code::Unavailable,
            Self::TooManyStreams
            | Self::TooManySessions
            | Self::TooManyCalls
            | Self::TooManySecrets
            | Self::Overloaded
            | Self::MessageTooLarge
            | Self::DiskFull => Code::ResourceExhausted,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::RequestIdReused | Self::NameInUse => Code::AlreadyExists,
            Self::HistoryTrimmed => Code::OutOfRange,
            Self::AttemptOutdated
            | Self::WorkspaceDeleting
            | Self::WorkspaceNotReady
            | Self::PortUnreachable
            | Self::CacheKeyUnknown
            | Self::CacheMismatch
            | Self::NoCertificateAuthority
            | Self::NoSecretsKey
            | Self::NodeInUse => Code::FailedPrecondition,
            Self::CacheReadOnly | Self::NotAllowed | Self::JoinRefused => Code::PermissionDenied,
            Self::SessionUnknown | Self::CallerUnknown | Self::LoginRefused => {
                Code::Unauthenticated
            }
            Self::Internal => Code::Internal,
        }
    }

    /// How long to wait before the same call is worth repeating; `None` when repeating does not help.
    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::DiskFull => Some(Duration::from_secs(60)),
            Self::NodeUnavailable
            | Self::TooManyStreams
            | Self::TooManySessions
            | Self::DatabaseUnavailable
            | Self::RegistryUnavailable
            | Self::RepositoryUnavailable
            | Self::EngineFailed => Some(Duration::from_secs(5)),
            Self::StreamUnread
            | Self::ShuttingDown
            | Self::WorkspaceDeleting
            | Self::TooManyCalls
            | Self::Overloaded => Some(Duration::from_secs(1)),
            Self::InvalidField
            | Self::WorkspaceUnknown
            | Self::NodeUnknown
            | Self::NodeInUse
            | Self::RequestIdReused
            | Self::HistoryTrimmed
            | Self::AttemptUnknown
            | Self::AttemptOutdated
            | Self::WorkspaceNotReady
            | Self::PortUnreachable
            | Self::CacheReadOnly
            | Self::CacheMismatch
            | Self::CacheKeyUnknown
            | Self::CacheEntryUnknown
            | Self::RefUnknown
            | Self::LoginRefused
            | Self::BuildLogUnknown
            | Self::SessionUnknown
            | Self::CallerUnknown
            | Self::NotAllowed
            | Self::JoinRefused
            | Self::TokenUnknown
            | Self::NameInUse
            | Self::NoCertificateAuthority
            | Self::NoSecretsKey
            | Self::SecretUnknown
            | Self::TooManySecrets
            | Self::MessageTooLarge
            | Self::DeadlineExceeded
            | Self::Internal => None,
        }
    }
}

/// A status with its `ErrorInfo`, and `RetryInfo` where the call is worth repeating.
pub fn status(reason: Reason, message: impl Into<String>) -> Status {
    status_with_metadata(reason, message, [])
}

/// Like [`status`], with metadata in the `ErrorInfo`.
pub fn status_with_metadata<const N: usize>(
    reason: Reason,
    message: impl Into<String>,
    metadata: [(&str, String); N],
) -> Status {
    let metadata: HashMap<String, String> = metadata
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let mut details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata);
    if let Some(delay) = reason.retry_after() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(reason.code(), message, details)
}

/// Collects the faults of a request, so that one answer names all of them.
#[derive(Debug, Default)]
pub struct FieldFaults(Vec<(String, String)>);

impl FieldFaults {
    /// Notes a fault of a field; `why` completes the sentence "`field` …".
    pub fn add(&mut self, field: impl Into<String>, why: impl ToString) {
        self.0.push((field.into(), why.to_string()));
    }

    /// Takes the value out of a parse result, or notes why there is none.
    pub fn check<T, E: ToString>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|why| self.add(field, why)).ok()
    }

    /// Parses a text whose empty form stands for no value. `None` when a fault was noted.
    pub fn check_optional<T: FromStr>(&mut self, field: &str, text: &str) -> Option<Option<T>>
    where
        T::Err: ToString,
    {
        match text {
            "" => Some(None),
            text => self.check(field, text.parse().map(Some)),
        }
    }

    /// The value that was read from the request, if nothing is wrong with it.
    ///
    /// # Errors
    ///
    /// Like [`Self::into_result`]; `INTERNAL` when there is neither a value nor a fault.
    pub fn complete<T>(self, value: Option<T>) -> Result<T, Status> {
        self.into_result()?;
        value.ok_or_else(|| {
            tracing::error!("a request was refused without naming a field");
            status(Reason::Internal, "the request could not be read")
        })
    }

    /// `INVALID_ARGUMENT` with a `BadRequest` if anything was noted.
    pub fn into_result(self) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = self
            .0
            .iter()
            .map(|(field, why)| format!("{field} {why}"))
            .collect::<Vec<_>>()
            .join("; ");
        let reason = Reason::InvalidField;
        let mut details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, HashMap::new());
        for (field, why) in self.0 {
            details.add_bad_request_violation(field, why);
        }
        Err(Status::with_error_details(reason.code(), message, details))
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
