use std::future::Future;

use hearth_runtime::{Tasks, contain};
use tokio::sync::oneshot;

use crate::error::CallError;

/// Runs work to its end even if the client cancels its call, which drops the handler.
pub(crate) async fn detached<T: Send + 'static>(
    tasks: &Tasks,
    name: &'static str,
    work: impl Future<Output = Result<T, CallError>> + Send + 'static,
) -> Result<T, CallError> {
    let (done, result) = oneshot::channel();
    tasks.spawn(name, async move {
        // The caller may be gone.
        let _ = done.send(contain(name, work).await);
    });
    match result.await {
        Ok(Ok(result)) => result,
        Ok(Err(panicked)) => Err(panicked.into()),
        Err(_) => Err(CallError::ShuttingDown),
    }
}
