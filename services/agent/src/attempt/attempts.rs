use std::{cmp::Ordering, future::Future, sync::Arc};

use hearth_api::v1::{Settled, event::Kind};
use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::{KeyedTasks, Start, Tasks};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{log::AttemptLog, settled::SettledLogs};

/// How many settled attempts stay known. More than a node has workspaces: an attempt that is not known any more would be
/// run again if the control plane asked for it.
const KEEP_SETTLED: usize = 4096;

/// All attempts of the node: the newest one of every workspace.
///
/// A workspace never has two running attempts: a new one begins when the old one has ended.
#[derive(Clone)]
pub struct Attempts {
    by_workspace: KeyedTasks<WorkspaceId, Known>,
    settled: Arc<SettledLogs>,
    /// How many may run at once. Locked while one is started.
    most: Arc<Mutex<usize>>,
    tasks: Tasks,
}

#[derive(Clone)]
struct Known {
    number: u32,
    log: Arc<AttemptLog>,
}

/// Why an attempt cannot be started or followed.
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
    /// As many attempts run as the node takes.
    #[error(
        "the node works on {most} attempts, which is as many as it takes; raise --max-attempts (HEARTH_MAX_ATTEMPTS) of its agent, or add a node"
    )]
    Busy {
        /// How many it takes.
        most: usize,
    },
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

impl Attempts {
    /// No attempts yet; their tasks belong to `tasks`.
    pub fn new(tasks: Tasks) -> Self {
        Self {
            by_workspace: KeyedTasks::new(tasks.clone(), "attempt", KEEP_SETTLED),
            settled: Arc::default(),
            most: Arc::new(Mutex::new(usize::MAX)),
            tasks,
        }
    }

    /// The same, with at most so many that run at once.
    pub fn at_most(self, attempts: usize) -> Self {
        *self.most.lock() = attempts;
        self
    }

    /// Starts an attempt, unless it is known already, and returns its log. `run` gets the log, which it must settle, and
    /// the token that stops it. A running older attempt is stopped first, and `run` begins when that has ended.
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
        let most = self.most.lock();
        self.check_room(attempt, *most)?;
        let (number, settled) = (attempt.number, self.settled.clone());
        let known = self.by_workspace.start(
            attempt.workspace.clone(),
            Known {
                number,
                log: Arc::new(AttemptLog::new(number)),
            },
            |known| match known.number.cmp(&number) {
                Ordering::Less => Ok(Start::Replace),
                Ordering::Equal => Ok(Start::Join),
                Ordering::Greater => Err(AttemptError::Outdated {
                    newest: known.number,
                }),
            },
            move |known, stop| async move {
                run(known.log.clone(), stop).await;
                settled.add(&known.log);
            },
        )?;
        Ok(known.log)
    }

    /// Whether another attempt may run. One that replaces another, or is known already, needs no room.
    fn check_room(&self, attempt: &AttemptRef, most: usize) -> Result<(), AttemptError> {
        let known = self.by_workspace.get(&attempt.workspace);
        if known.is_some_and(|known| known.number >= attempt.number) {
            return Ok(());
        }
        let others = self.by_workspace.select(|workspace, known| {
            (*workspace != attempt.workspace && !known.log.is_settled()).then_some(())
        });
        match others.len() < most {
            true => Ok(()),
            false => Err(AttemptError::Busy { most }),
        }
    }

    /// The log of an attempt that was started before.
    pub fn log(&self, attempt: &AttemptRef) -> Result<Arc<AttemptLog>, AttemptError> {
        let known = self.by_workspace.get(&attempt.workspace);
        let known = known.ok_or(AttemptError::Unknown)?;
        match known.number.cmp(&attempt.number) {
            Ordering::Less => Err(AttemptError::Unknown),
            Ordering::Equal => Ok(known.log),
            Ordering::Greater => Err(AttemptError::Outdated {
                newest: known.number,
            }),
        }
    }

    /// Whether an attempt of this workspace was started.
    pub fn knows(&self, workspace: &WorkspaceId) -> bool {
        self.by_workspace.get(workspace).is_some()
    }

    /// Attempts that are not ready yet.
    pub fn preparing(&self) -> Vec<AttemptRef> {
        self.by_workspace.select(|workspace, known| {
            known.log.is_preparing().then(|| AttemptRef {
                workspace: workspace.clone(),
                number: known.number,
            })
        })
    }

    /// Has this very attempt end, unless it is ready: what it made is removed. Returns whether there is something to end.
    pub fn end(&self, attempt: &AttemptRef) -> bool {
        let is_it = |known: &Known| known.number == attempt.number && known.log.is_preparing();
        self.by_workspace.tell_to_stop(&attempt.workspace, is_it)
    }

    /// Ends this attempt, if no newer one is known, and has `remove` take away what it made when it has ended. A newer one
    /// begins after that.
    pub fn take_back<F>(
        &self,
        attempt: &AttemptRef,
        remove: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(), AttemptError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let log = AttemptLog::new(attempt.number);
        log.append(Kind::Settled(Settled {}));
        let known = Known {
            number: attempt.number,
            log: Arc::new(log),
        };
        let decide = |known: &Known| match known.number > attempt.number {
            true => Err(AttemptError::Outdated {
                newest: known.number,
            }),
            false => Ok(Start::Replace),
        };
        let run = async move |_, stop: CancellationToken| {
            tokio::select! {
                () = stop.cancelled() => {}
                () = remove() => {}
            }
        };
        let workspace = attempt.workspace.clone();
        self.by_workspace.start(workspace, known, decide, run)?;
        Ok(())
    }

    /// Stops the attempt of a workspace and waits until it has ended; attempts that are started meanwhile are stopped too.
    pub async fn stop(&self, workspace: &WorkspaceId) {
        self.by_workspace.stop(workspace).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hearth_api::v1::{StateChanged, WorkspaceState};

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
    async fn a_workspace_is_being_prepared_until_it_is_ready_or_its_attempt_settles() {
        let attempts = attempts();
        let state = |state: WorkspaceState| {
            Kind::StateChanged(StateChanged {
                state: state.into(),
                ..StateChanged::default()
            })
        };
        let begin = |name: &str, number| {
            attempts
                .start(&attempt(name, number), until_stopped)
                .unwrap()
        };
        let logs = ["a", "b", "c"].map(|name| begin(name, 1));
        logs[0].append(state(WorkspaceState::Preparing));
        assert_eq!(attempts.preparing().len(), 3);
        logs[0].append(state(WorkspaceState::Ready));
        logs[1].append(state(WorkspaceState::Recovery));
        logs[2].append(Kind::Settled(Settled {}));
        assert_eq!(attempts.preparing(), []);
        begin("a", 2);
        assert_eq!(attempts.preparing(), [attempt("a", 2)]);
    }

    #[tokio::test]
    async fn no_other_attempt_ends_than_the_one_that_is_named() {
        let attempts = attempts();
        let begin = |number| attempts.start(&attempt("ws", number), until_stopped);
        begin(1).unwrap();
        let log = begin(2).unwrap();
        for other in [attempt("ws", 1), attempt("ws", 3), attempt("other", 2)] {
            assert!(!attempts.end(&other), "{other:?}");
        }
        log.append(Kind::StateChanged(StateChanged {
            state: WorkspaceState::Ready.into(),
            ..StateChanged::default()
        }));
        assert!(!attempts.end(&attempt("ws", 2)), "it is ready");
        assert!(!log.is_settled());
        let log = begin(3).unwrap();
        assert!(attempts.end(&attempt("ws", 3)));
        while !log.is_settled() {
            tokio::task::yield_now().await;
        }
        // It stays known: whoever asks for it again does not start it again.
        assert!(attempts.log(&attempt("ws", 3)).is_ok());
    }

    #[tokio::test]
    async fn what_an_attempt_made_is_taken_back_after_its_end_and_before_the_next_begins() {
        let attempts = attempts();
        let story = Arc::new(Mutex::new(Vec::new()));
        let begin = |number| {
            let story = story.clone();
            attempts.start(&attempt("ws", number), async move |log, stop| {
                story.lock().push(format!("{number} begins"));
                until_stopped(log, stop).await;
                story.lock().push(format!("{number} ends"));
            })
        };
        let take_back = |number| {
            let story = story.clone();
            attempts.take_back(&attempt("ws", number), async move || {
                story.lock().push(format!("{number} is removed"));
            })
        };
        begin(2).unwrap();
        let newer = take_back(1).unwrap_err();
        assert_eq!(newer, AttemptError::Outdated { newest: 2 });
        tokio::task::yield_now().await;
        take_back(2).unwrap();
        while story.lock().len() < 3 {
            tokio::task::yield_now().await;
        }
        begin(3).unwrap();
        // As after a restart of the agent, which knows none.
        attempts.stop(&attempt("ws", 3).workspace).await;
        take_back(3).unwrap();
        while story.lock().len() < 6 {
            tokio::task::yield_now().await;
        }
        let expected = [
            "2 begins",
            "2 ends",
            "2 is removed",
            "3 begins",
            "3 ends",
            "3 is removed",
        ];
        assert_eq!(*story.lock(), expected);
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
            AttemptError::Outdated { newest: 2 }
        );
        attempts.stop(&attempt("ws", 1).workspace).await;
        assert_eq!(
            attempts.log(&attempt("ws", 2)).unwrap_err(),
            AttemptError::Unknown
        );
    }

    #[tokio::test]
    async fn as_many_attempts_run_as_the_node_takes() {
        let attempts = attempts().at_most(2);
        let begin = |name: &str, number| attempts.start(&attempt(name, number), until_stopped);
        begin("a", 1).unwrap();
        let log = begin("b", 1).unwrap();
        let refused = begin("c", 1).unwrap_err();
        assert_eq!(refused, AttemptError::Busy { most: 2 });
        assert!(refused.to_string().contains("--max-attempts"), "{refused}");
        // What is known is followed, and what is replaced makes room for the next.
        begin("a", 1).unwrap();
        begin("a", 2).unwrap();
        log.append(Kind::Settled(Settled {}));
        begin("c", 1).unwrap();
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
