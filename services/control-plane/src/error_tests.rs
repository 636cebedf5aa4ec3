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
            CallError::NoSuchRef("x".into()),
            Code::NotFound,
            "REF_UNKNOWN",
        ),
        (
            CallError::RepositoryUnavailable("x".into()),
            Code::Unavailable,
            "REPOSITORY_UNAVAILABLE",
        ),
        (
            CallError::NodesBusy("x".into()),
            Code::ResourceExhausted,
            "OVERLOADED",
        ),
        (
            CallError::BuildLogUnknown(id()),
            Code::NotFound,
            "BUILD_LOG_UNKNOWN",
        ),
        (
            CallError::WorkspaceDeleting(id()),
            Code::FailedPrecondition,
            "WORKSPACE_DELETING",
        ),
        (
            CallError::NotNow {
                id: id(),
                state: WorkspaceState::Failed,
            },
            Code::FailedPrecondition,
            "WORKSPACE_NOT_READY",
        ),
        (
            CallError::WorkspaceNotReady {
                id: id(),
                why: "x".into(),
            },
            Code::FailedPrecondition,
            "WORKSPACE_NOT_READY",
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
            CallError::CallerUnknown("x".into()),
            Code::Unauthenticated,
            "CALLER_UNKNOWN",
        ),
        (
            CallError::NotAllowed("x".into()),
            Code::PermissionDenied,
            "NOT_ALLOWED",
        ),
        (
            CallError::ClientUnknown("ci".parse().expect("a name")),
            Code::NotFound,
            "TOKEN_UNKNOWN",
        ),
        (
            CallError::ClientNameInUse("ci".parse().expect("a name")),
            Code::AlreadyExists,
            "NAME_IN_USE",
        ),
        (
            CallError::NoCertificateAuthority,
            Code::FailedPrecondition,
            "NO_CERTIFICATE_AUTHORITY",
        ),
        (
            CallError::NoSecretsKey,
            Code::FailedPrecondition,
            "NO_SECRETS_KEY",
        ),
        (
            CallError::SecretUnknown {
                name: "A".into(),
                repositories: "*".into(),
            },
            Code::NotFound,
            "SECRET_UNKNOWN",
        ),
        (
            CallError::TooManySecrets { max: 7 },
            Code::ResourceExhausted,
            "TOO_MANY_SECRETS",
        ),
        (
            CallError::SecretUnsealed("planted-detail".into()),
            Code::Internal,
            "INTERNAL",
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
        (
            CallError::TooManyOwnStreams { most: 7 },
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
