use std::{future::pending, panic::resume_unwind};

use tracing::Span;

/// Runs `work`, which waits for the disk, on a thread that may wait, so that the runtime's workers go on with other
/// tasks. A panic in it becomes one of the caller. Once begun, it runs to its end even if the future is dropped.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let span = Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime shuts down, and drops the caller as well.
            Err(_) => pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::contain;

    #[tokio::test]
    async fn the_runtimes_only_worker_goes_on_while_work_waits() {
        let (send, receive) = mpsc::channel();
        let work = blocking(move || receive.recv());
        // Both are polled by one thread: without another one for the work, nothing would ever be sent.
        let (received, sent) = tokio::join!(work, async move { send.send(7) });
        assert_eq!((received, sent), (Ok(7), Ok(())));
    }

    #[tokio::test]
    async fn a_panic_reaches_the_caller() {
        let failed = contain("test", blocking(|| panic!("a bug"))).await;
        assert!(failed.unwrap_err().to_string().contains("a bug"));
    }
}
