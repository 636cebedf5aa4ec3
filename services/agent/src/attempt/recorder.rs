use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hearth_api::v1::{
    BuildStep, BuildStepStatus, Failure, LogChunk, PipelineStep, Settled, StateChanged,
    StepFinished, StepStarted, TransferDirection, TransferProgress, Warning, WorkspaceState,
    event::Kind,
};
use hearth_layers::Transfer;

use super::log::AttemptLog;
use crate::{
    buildkit::{Status, StepChange},
    metrics::AgentMetrics,
    parties::Line,
};

/// Output is collected this long, so that a fast build makes few events and a slow one is still seen live.
const COLLECT: Duration = Duration::from_millis(200);
/// A piece of output is never larger, in bytes.
const MAX_CHUNK: usize = 32 * 1024;
/// Progress of a transfer is told this often.
const TRANSFER_INTERVAL: Duration = Duration::from_millis(500);

/// Writes the log of an attempt: every event goes through here.
#[derive(Clone)]
pub struct Recorder {
    log: Arc<AttemptLog>,
    metrics: AgentMetrics,
    began: Instant,
    open_steps: Arc<Mutex<BTreeMap<PipelineStep, Instant>>>,
}

impl Recorder {
    /// A recorder whose attempt begins now.
    pub fn new(log: Arc<AttemptLog>, metrics: AgentMetrics) -> Self {
        Self {
            log,
            metrics,
            began: Instant::now(),
            open_steps: Arc::default(),
        }
    }

    /// Notes an event.
    pub fn note(&self, kind: Kind) {
        self.metrics.count(&kind, self.began.elapsed());
        self.log.append(kind);
    }

    /// Notes that the workspace is in another state.
    pub fn state(&self, state: WorkspaceState, failure: Option<Failure>) {
        self.note(Kind::StateChanged(StateChanged {
            state: state.into(),
            failure,
            seconds: self.began.elapsed().as_secs_f64(),
        }));
    }

    /// Notes something that the workspace does not depend on.
    pub fn warn(&self, message: impl Into<String>) {
        self.note(Kind::Warning(Warning {
            message: message.into(),
        }));
    }

    /// Runs `work` as a step of the pipeline, with its beginning and its end in the log.
    pub async fn step<T, E>(
        &self,
        step: PipelineStep,
        description: impl Into<String>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.open().insert(step, Instant::now());
        self.note(Kind::StepStarted(StepStarted {
            step: step.into(),
            description: description.into(),
        }));
        let result = work.await;
        self.finish_step(step, result.is_ok());
        result
    }

    /// Ends the log: closes what an interruption left open, and says that nothing follows.
    pub fn settle(&self) {
        let open: Vec<_> = self.open().keys().copied().collect();
        for step in open {
            self.finish_step(step, false);
        }
        self.note(Kind::Settled(Settled {}));
    }

    /// Notes that a step of the image build began or ended.
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

    /// Takes the output of a step's command.
    pub fn output(&self, step: PipelineStep) -> OutputSink {
        OutputSink {
            log: self.log.clone(),
            step,
            text: String::new(),
            since: Instant::now(),
        }
    }

    /// Takes the progress of a transfer, and tells of it now and then.
    pub fn transfer(&self, direction: TransferDirection) -> impl Fn(Transfer) + Send + Sync {
        let log = self.log.clone();
        let told = Mutex::new(None::<Instant>);
        move |transfer| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let due = told.is_none_or(|at| at.elapsed() >= TRANSFER_INTERVAL);
            if due || transfer.done == transfer.total {
                *told = Some(Instant::now());
                log.append(Kind::Transfer(TransferProgress {
                    direction: direction.into(),
                    bytes_done: transfer.done,
                    bytes_total: transfer.total,
                }));
            }
        }
    }

    fn finish_step(&self, step: PipelineStep, succeeded: bool) {
        let began = self.open().remove(&step);
        self.note(Kind::StepFinished(StepFinished {
            step: step.into(),
            seconds: began.map_or(0.0, |began| began.elapsed().as_secs_f64()),
            succeeded,
        }));
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<PipelineStep, Instant>> {
        self.open_steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects lines of output into events. What is left is written when it is dropped.
pub struct OutputSink {
    log: Arc<AttemptLog>,
    step: PipelineStep,
    text: String,
    since: Instant,
}

impl OutputSink {
    /// Takes what comes from a command.
    pub fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Text(text) => self.line(text),
            Line::Quiet => self.flush(),
        }
    }

    /// Takes a line, without its newline; terminal escapes are removed.
    pub fn line(&mut self, line: &str) {
        let line = without_escapes(line);
        if !self.text.is_empty() && self.text.len() + line.len() >= MAX_CHUNK {
            self.flush();
        }
        if self.text.is_empty() {
            self.since = Instant::now();
        } else {
            self.text.push('\n');
        }
        let mut end = line.len().min(MAX_CHUNK);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&line[..end]);
        if self.since.elapsed() >= COLLECT {
            self.flush();
        }
    }

    /// Writes what was collected.
    pub fn flush(&mut self) {
        if !self.text.is_empty() {
            self.log.append(Kind::Log(LogChunk {
                step: self.step.into(),
                text: std::mem::take(&mut self.text),
                dropped_lines: 0,
            }));
        }
    }
}

impl Drop for OutputSink {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Removes ANSI escape sequences and control characters: output goes to terminals of people who did not ask for it.
pub(crate) fn without_escapes(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // CSI sequences end with a letter; of all others the next character is the whole rest.
            if chars.next() == Some('[') {
                for c in chars.by_ref() {
                    if c.is_ascii_alphabetic() || c == '~' {
                        break;
                    }
                }
            }
        } else if c == '\t' || !c.is_control() {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(log: Arc<AttemptLog>) -> Recorder {
        Recorder::new(log, AgentMetrics::new(&hearth_runtime::Metrics::default()))
    }

    fn texts(log: &AttemptLog) -> Vec<String> {
        log.after(0, None)
            .events
            .into_iter()
            .filter_map(|event| match event.kind {
                Some(Kind::Log(chunk)) => Some(chunk.text),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn lines_are_collected_into_few_events_and_none_is_lost() {
        let log = Arc::new(AttemptLog::new(1));
        let mut sink = recorder(log.clone()).output(PipelineStep::Image);
        for number in 0..5000 {
            sink.line(&format!("line {number}"));
        }
        drop(sink);
        let texts = texts(&log);
        assert!(texts.len() < 20, "{}", texts.len());
        assert!(texts.iter().all(|text| text.len() <= MAX_CHUNK));
        let lines: Vec<_> = texts.iter().flat_map(|text| text.lines()).collect();
        assert_eq!(lines.len(), 5000);
        assert_eq!(lines[4999], "line 4999");
    }

    #[test]
    fn escapes_do_not_reach_the_log() {
        assert_eq!(
            without_escapes("\u{1b}[1m\u{1b}[31mred\u{1b}[0m\tx\u{7}\r"),
            "red\tx"
        );
        assert_eq!(without_escapes("\u{1b}]0;title\u{7}"), "0;title");
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
