use std::{collections::BTreeMap, future::Future, sync::Arc, time::Instant};

use hearth_api::v1::{
    BuildStep, BuildStepStatus, Failure, PipelineStep, Settled, StateChanged, StepFinished,
    StepStarted, StopCause, TransferDirection, TransferProgress, Warning, WorkspaceState,
    event::Kind,
};
use hearth_layers::Transfer;
use parking_lot::Mutex;

use super::{activity::Activity, log::AttemptLog, output::OutputSink, pace::Pace};
use crate::{
    buildkit::{Status, StepChange},
    external::process::Tail,
    mask::Mask,
    metrics::AgentMetrics,
};

/// Writes the events of an attempt into its log.
#[derive(Clone)]
pub struct Recorder {
    log: Arc<AttemptLog>,
    metrics: AgentMetrics,
    began: Instant,
    progress: Arc<Mutex<Progress>>,
    mask: Mask,
}

/// What was recorded so far.
#[derive(Debug, Default)]
struct Progress {
    open_steps: BTreeMap<PipelineStep, OpenStep>,
    outcome: Option<WorkspaceState>,
    push_reported: bool,
}

#[derive(Debug)]
struct OpenStep {
    began: Instant,
    description: String,
    /// The last lines of its commands.
    tail: Arc<Mutex<Tail>>,
}

/// What an attempt is at.
#[derive(Debug, Default)]
pub struct Current {
    /// The step.
    pub step: PipelineStep,
    /// What it does.
    pub description: Option<String>,
    /// The last lines of its commands.
    pub tail: String,
}

impl Recorder {
    /// A recorder whose attempt begins now.
    pub fn new(log: Arc<AttemptLog>, metrics: AgentMetrics) -> Self {
        Self {
            log,
            metrics,
            began: Instant::now(),
            progress: Arc::default(),
            mask: Mask::default(),
        }
    }

    /// What takes secrets out of outputs, warnings and failures.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Records an event.
    pub fn note(&self, kind: Kind) {
        self.metrics.count(&kind, self.began.elapsed());
        if let Kind::Push(_) = kind {
            self.progress.lock().push_reported = true;
        }
        self.log.append(kind);
    }

    /// Records the workspace's new state.
    pub fn state(&self, state: WorkspaceState, failure: Option<Failure>) {
        self.enter(StateChanged {
            state: state.into(),
            failure,
            ..StateChanged::default()
        });
    }

    /// Records that the workspace could not be started.
    pub fn not_started(&self, failure: Failure) {
        self.enter(StateChanged {
            state: WorkspaceState::Stopped.into(),
            failure: Some(failure),
            stop_cause: StopCause::StartFailed.into(),
            ..StateChanged::default()
        });
    }

    /// Records that the workspace is ready, and whether hooks run next that it did not wait for.
    pub fn ready(&self, hooks_follow: bool) {
        self.enter(StateChanged {
            state: WorkspaceState::Ready.into(),
            hooks_follow,
            ..StateChanged::default()
        });
    }

    fn enter(&self, change: StateChanged) {
        let state = change.state();
        let kind = Kind::StateChanged(StateChanged {
            failure: change.failure.clone().map(|failure| self.masked(failure)),
            seconds: self.began.elapsed().as_secs_f64(),
            ..change
        });
        if state != WorkspaceState::Preparing {
            let before = self.progress.lock().outcome.replace(state);
            if before.is_some() {
                // Metrics count an attempt once: by its first outcome.
                self.log.append(kind);
                return;
            }
        }
        self.note(kind);
    }

    /// READY, RECOVERY, FAILED or STOPPED, once that is recorded.
    pub fn outcome(&self) -> Option<WorkspaceState> {
        self.progress.lock().outcome
    }

    /// Whether the outcome of the push is recorded.
    pub fn is_push_reported(&self) -> bool {
        self.progress.lock().push_reported
    }

    /// Records a problem that does not fail the attempt.
    pub fn warn(&self, message: impl Into<String>) {
        self.note(Kind::Warning(Warning {
            message: self.mask.of(&message.into()).into_owned(),
        }));
    }

    /// A failure without the secrets that its attempt knows.
    pub fn masked(&self, failure: Failure) -> Failure {
        Failure {
            message: self.mask.of(&failure.message).into_owned(),
            output_tail: self.mask.of(&failure.output_tail).into_owned(),
            ..failure
        }
    }

    /// Counts an audit by its outcome.
    pub fn audited(&self, outcome: &'static str) {
        self.metrics.audited(outcome);
    }

    /// Runs `work` as a step of the pipeline, and records its start and its end.
    pub async fn step<T, E>(
        &self,
        step: PipelineStep,
        description: impl Into<String>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let description = description.into();
        let open = OpenStep {
            began: Instant::now(),
            description: description.clone(),
            tail: Arc::default(),
        };
        self.progress.lock().open_steps.insert(step, open);
        self.note(Kind::StepStarted(StepStarted {
            step: step.into(),
            description,
        }));
        let result = work.await;
        self.finish_step(step, result.is_ok());
        result
    }

    /// Settles the attempt: finishes the steps that an interruption left open, and records `settled`.
    pub fn settle(&self) {
        let open: Vec<_> = self.progress.lock().open_steps.keys().copied().collect();
        for step in open {
            self.finish_step(step, false);
        }
        self.note(Kind::Settled(Settled {}));
    }

    /// Records that a step of the image build began or ended.
    pub fn build_step(&self, change: StepChange) {
        let status = match change.status {
            Status::Started => BuildStepStatus::Started,
            Status::Done => BuildStepStatus::Done,
            Status::Cached => BuildStepStatus::Cached,
            Status::Failed => BuildStepStatus::Failed,
            Status::Canceled => BuildStepStatus::Canceled,
        };
        self.note(Kind::BuildStep(BuildStep {
            number: change.number,
            name: change.name,
            status: status.into(),
            seconds: change.seconds,
        }));
    }

    /// A sink for the output of a step's command.
    pub fn output(&self, step: PipelineStep) -> OutputSink {
        let progress = self.progress.lock();
        let open = progress.open_steps.get(&step);
        let tail = open.map(|open| open.tail.clone()).unwrap_or_default();
        OutputSink::new(self.log.clone(), step, tail, self.mask.clone())
    }

    /// The step that the workspace's readiness waits for, the one that began last.
    pub fn current(&self) -> Current {
        let progress = self.progress.lock();
        let open = progress.open_steps.iter();
        let latest = open
            .filter(|(step, _)| !matches!(step, PipelineStep::Push | PipelineStep::Hooks))
            .max_by_key(|(_, open)| open.began);
        latest
            .map(|(step, open)| Current {
                step: *step,
                description: Some(open.description.clone()),
                tail: open.tail.lock().text(),
            })
            .unwrap_or_default()
    }

    /// Begins something within a step that is shown while it goes on, under a name; it ends when it is dropped.
    pub fn activity(&self, step: PipelineStep, name: &str) -> Activity {
        Activity::begin(self.log.clone(), step, name, self.mask.clone())
    }

    /// A callback that records the progress of a transfer, now and then.
    pub fn transfer(&self, direction: TransferDirection) -> impl Fn(Transfer) + Send + Sync {
        let log = self.log.clone();
        let pace = Mutex::new(Pace::default());
        move |transfer| {
            let mut pace = pace.lock();
            if pace.is_due(&transfer, Instant::now()) {
                log.append(Kind::Transfer(TransferProgress {
                    direction: direction.into(),
                    bytes_done: transfer.done,
                    bytes_total: transfer.total,
                    layers_done: transfer.layers_done,
                    layers_total: transfer.layers_total,
                }));
            }
        }
    }

    fn finish_step(&self, step: PipelineStep, succeeded: bool) {
        let open = self.progress.lock().open_steps.remove(&step);
        self.note(Kind::StepFinished(StepFinished {
            step: step.into(),
            seconds: open.map_or(0.0, |open| open.began.elapsed().as_secs_f64()),
            succeeded,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(log: Arc<AttemptLog>) -> Recorder {
        Recorder::new(log, AgentMetrics::new(&hearth_runtime::Metrics::default()))
    }

    #[tokio::test]
    async fn steps_that_an_interruption_left_open_are_closed_before_the_end() {
        let log = Arc::new(AttemptLog::new(1));
        let recorder = recorder(log.clone());
        let step = recorder.step(
            PipelineStep::Clone,
            "clones",
            std::future::pending::<Result<(), ()>>(),
        );
        assert!(futures_util::FutureExt::now_or_never(step).is_none());
        recorder.settle();
        let kinds: Vec<_> = log
            .after(0, None)
            .events
            .into_iter()
            .filter_map(|e| e.kind)
            .collect();
        let [
            Kind::StepStarted(_),
            Kind::StepFinished(end),
            Kind::Settled(_),
        ] = kinds.as_slice()
        else {
            panic!("{kinds:?}")
        };
        assert!(!end.succeeded);
    }
}
