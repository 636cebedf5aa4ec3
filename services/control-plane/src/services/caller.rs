use std::sync::Arc;

use tonic::{Request, Status};

use crate::{error::CallError, node::Sessions, record::Record};

/// The node whose agent calls.
#[derive(Clone, Debug)]
pub(super) struct Caller(String);

/// Lets agents in, and nobody else: other callers do not even learn which workspaces exist.
pub(super) fn agents_only(
    sessions: Arc<Sessions>,
) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone + Send + Sync + 'static {
    move |mut request| {
        let node = sessions.node(request.metadata());
        let caller = Caller(node.ok_or(CallError::SessionUnknown)?);
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

impl Caller {
    /// Who makes a call of a service that only agents reach.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, CallError> {
        let caller = request.extensions().get::<Self>();
        caller.cloned().ok_or(CallError::SessionUnknown)
    }

    /// A node speaks for its own workspaces.
    pub(super) fn check(&self, record: &Record) -> Result<(), CallError> {
        match record.workspace.node == self.0 {
            true => Ok(()),
            false => Err(CallError::SessionUnknown),
        }
    }
}
