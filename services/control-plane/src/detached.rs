use std::future::Future;

use hearth_runtime::Tasks;
use tokio::sync::oneshot;

use crate::error::CallError;

/// Runs work that must not stop half-way because the client went away: a dropped call drops its handler.
pub(crate) async fn detached<T: Send + 'static>(
    tasks: &Tasks,
    name: &'static str,
    work: impl Future<Output = Result<T, CallError>> + Send + 'static,
) -> Result<T, CallError> {
    let (done, result) = oneshot::channel();
    tasks.spawn(name, async move {
        // The caller may be gone.
        let _ = done.send(work.await);
    });
    result.await.unwrap_or(Err(CallError::ShuttingDown))
}
