use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::Tasks;
use tokio_util::sync::CancellationToken;

use super::log::AttemptLog;

/// All attempts of the node: the newest one of every workspace.
///
/// A workspace never has two attempts at work: a new one begins when the old one is gone.
#[derive(Clone)]
pub struct Attempts {
    slots: Arc<Mutex<HashMap<WorkspaceId, Slot>>>,
    tasks: Tasks,
}

#[derive(Clone)]
struct Slot {
    attempt: u32,
    log: Arc<AttemptLog>,
    stop: CancellationToken,
    gone: CancellationToken,
}

/// Why an attempt cannot be started or watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// A newer attempt is known.
    #[error("attempt {newest} of the workspace is newer")]
    Outdated {
        /// The newest one.
        newest: u32,
    },
    /// This agent does not know the attempt.
    #[error("this agent does not know the attempt; it may have been restarted since")]
    Unknown,
    /// The agent takes no more work.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

impl Attempts {
    /// No attempts yet; their tasks belong to `tasks`.
    pub fn new(tasks: Tasks) -> Self {
        Self {
            slots: Arc::default(),
            tasks,
        }
    }

    /// Starts an attempt: `run` gets its log and the token that stops it, and must settle the log. The same attempt
    /// again is no error. A running older one is told to stop, and `run` begins when it is gone.
    pub fn start<F>(
        &self,
        attempt: &AttemptRef,
        run: impl FnOnce(Arc<AttemptLog>, CancellationToken) -> F + Send + 'static,
    ) -> Result<Arc<AttemptLog>, AttemptError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.tasks.stopping().is_cancelled() {
            return Err(AttemptError::ShuttingDown);
        }
        let mut slots = self.lock();
        let previous = slots.get(&attempt.workspace).cloned();
        if let Some(previous) = &previous {
            if previous.attempt == attempt.number {
                return Ok(previous.log.clone());
            }
            if previous.attempt > attempt.number {
                return Err(AttemptError::Outdated {
                    newest: previous.attempt,
                });
            }
            previous.stop.cancel();
        }
        let slot = Slot {
            attempt: attempt.number,
            log: Arc::new(AttemptLog::new(attempt.number)),
            stop: self.tasks.stopping().child_token(),
            gone: CancellationToken::new(),
        };
        slots.insert(attempt.workspace.clone(), slot.clone());
        drop(slots);
        let log = slot.log.clone();
        self.tasks.spawn("attempt", async move {
            // Also when the task is dropped or panics, whoever waits for it goes on.
            let _gone = slot.gone.drop_guard();
            if let Some(previous) = previous {
                previous.gone.cancelled().await;
            }
            run(slot.log, slot.stop).await;
        });
        Ok(log)
    }

    /// The log of an attempt.
    pub fn log(&self, attempt: &AttemptRef) -> Result<Arc<AttemptLog>, AttemptError> {
        self.lock()
            .get(&attempt.workspace)
            .filter(|slot| slot.attempt == attempt.number)
            .map(|slot| slot.log.clone())
            .ok_or(AttemptError::Unknown)
    }

    /// Stops the attempt of a workspace and waits until it is gone; attempts that are started meanwhile are stopped too.
    pub async fn stop(&self, workspace: &WorkspaceId) {
        loop {
            let slot = self.lock().get(workspace).cloned();
            let Some(slot) = slot else { break };
            slot.stop.cancel();
            slot.gone.cancelled().await;
            let mut slots = self.lock();
            let unchanged = slots
                .get(workspace)
                .is_some_and(|now| now.attempt == slot.attempt);
            if unchanged {
                slots.remove(workspace);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hearth_api::v1::{Settled, event::Kind};

    use super::*;

    fn attempt(workspace: &str, number: u32) -> AttemptRef {
        AttemptRef {
            workspace: workspace.parse().unwrap(),
            number,
        }
    }

    fn attempts() -> Attempts {
        Attempts::new(Tasks::default())
    }

    async fn until_stopped(log: Arc<AttemptLog>, stop: CancellationToken) {
        stop.cancelled().await;
        log.append(Kind::Settled(Settled {}));
    }

    #[tokio::test]
    async fn a_retry_begins_only_when_the_attempt_before_it_is_gone() {
        let attempts = attempts();
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        for number in 1..=5 {
            let (running, most) = (running.clone(), most.clone());
            attempts
                .start(&attempt("ws", number), move |log, stop| async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    until_stopped(log, stop).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                })
                .unwrap();
            tokio::task::yield_now().await;
        }
        attempts.stop(&attempt("ws", 1).workspace).await;
        assert_eq!(
            (most.load(Ordering::SeqCst), running.load(Ordering::SeqCst)),
            (1, 0)
        );
    }

    #[tokio::test]
    async fn the_same_attempt_twice_runs_once_and_an_older_one_is_refused() {
        let attempts = attempts();
        attempts.start(&attempt("ws", 2), until_stopped).unwrap();
        attempts
            .start(&attempt("ws", 2), |_, _| async { panic!("started twice") })
            .unwrap();
        assert_eq!(
            attempts
                .start(&attempt("ws", 1), until_stopped)
                .unwrap_err(),
            AttemptError::Outdated { newest: 2 }
        );
        assert!(attempts.log(&attempt("ws", 2)).is_ok());
        assert_eq!(
            attempts.log(&attempt("ws", 1)).unwrap_err(),
            AttemptError::Unknown
        );
        attempts.stop(&attempt("ws", 1).workspace).await;
        assert_eq!(
            attempts.log(&attempt("ws", 2)).unwrap_err(),
            AttemptError::Unknown
        );
    }

    #[tokio::test]
    async fn a_shutdown_stops_every_attempt_and_takes_no_more() {
        let attempts = attempts();
        attempts.start(&attempt("ws", 1), until_stopped).unwrap();
        let log = attempts.log(&attempt("ws", 1)).unwrap();
        assert!(
            attempts
                .tasks
                .stop(std::time::Duration::from_secs(10))
                .await
        );
        assert!(log.is_settled());
        assert_eq!(
            attempts
                .start(&attempt("other", 1), until_stopped)
                .unwrap_err(),
            AttemptError::ShuttingDown
        );
    }
}
