use hearth_runtime::{Reason, status};
use tonic::Status;

use crate::external::engine::EngineFailure;

/// Why a workspace is not entered, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The engine has no such container, or it is no container of the workspace.
    #[error(
        "the workspace has no container here; prepare it again with `hearth up --workspace ID`"
    )]
    NoContainer,
    /// It does not run.
    #[error("the workspace's container does not run; `hearth get ID` says why")]
    NotRunning,
    /// As many sessions are open as may be.
    #[error(
        "{open} sessions are open {place}, which is as many as are allowed (--max-sessions of its agent); end some, or try again later"
    )]
    TooMany {
        /// How many are open.
        open: usize,
        /// Where.
        place: &'static str,
    },
    /// Its network is the node's.
    #[error(
        "the workspace's container is in its node's own network, whose ports are not the workspace's: none is forwarded"
    )]
    NodesNetwork,
    /// Nothing listens there.
    #[error("port {port} of the workspace cannot be reached: {why}")]
    Port {
        /// The port.
        port: u16,
        /// What the container's system says.
        why: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    /// What the client sent is no message that fits.
    #[error("{0}")]
    Message(&'static str),
    /// The agent is being stopped.
    #[error(
        "the agent of the workspace's node is being stopped, and the session with it; open another one when it is back"
    )]
    Stopping,
}

impl From<EnterError> for Status {
    fn from(error: EnterError) -> Self {
        let reason = match &error {
            EnterError::NoContainer | EnterError::NotRunning | EnterError::NodesNetwork => {
                Reason::WorkspaceNotReady
            }
            EnterError::TooMany { .. } => Reason::TooManySessions,
            EnterError::Port { .. } => Reason::PortUnreachable,
            EnterError::Engine(_) => Reason::EngineFailed,
            EnterError::Message(_) => Reason::InvalidField,
            EnterError::Stopping => Reason::ShuttingDown,
        };
        status(reason, error.to_string())
    }
}
