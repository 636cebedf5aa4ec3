use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{contain, trace};

/// The owner of a process's tasks. Each has a name and a span, learns of the shutdown by [`Tasks::stopping`], and is
/// waited for.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Starts a task, which belongs to the trace of the task that starts it. A panic in it ends this task alone, and is logged.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where tasks are spawned"
    )]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let contained = async move {
            // It has been logged. A task that others depend on contains its panics itself.
            let _ = contain(name, task).await;
        };
        let traced = trace::inherit(trace::current(), contained);
        tokio::spawn(
            self.tracker
                .track_future(traced)
                .instrument(tracing::info_span!("task", name)),
        );
    }

    /// Cancelled when the process begins to shut down. Take a child token for what may be stopped alone.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells all tasks to stop and waits for them; false when some were still running after `limit`.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(limit, self.tracker.wait())
            .await
            .is_ok();
        if !ended {
            tracing::warn!(
                tasks = self.tracker.len(),
                limit_seconds = limit.as_secs(),
                "gave up waiting for tasks to end"
            );
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stop_waits_for_tasks_that_end_and_gives_up_on_those_that_do_not() {
        let tasks = Tasks::default();
        let ended = Arc::new(AtomicBool::new(false));
        tasks.spawn("orderly", {
            let (stop, ended) = (tasks.stopping().clone(), ended.clone());
            async move {
                stop.cancelled().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                ended.store(true, Ordering::SeqCst);
            }
        });
        assert!(tasks.stop(Duration::from_secs(2)).await);
        assert!(ended.load(Ordering::SeqCst));

        let tasks = Tasks::default();
        tasks.spawn("stubborn", std::future::pending());
        assert!(!tasks.stop(Duration::from_secs(2)).await);
    }
}
