use std::{collections::HashMap, sync::Arc};

use super::outcome::STEP;
use crate::{
    attempt::{Activity, OutputSink, Recorder, without_escapes},
    build_log::BuildLog,
    buildkit::{ActivityChange, Progress, Status, StepChange, Update},
    external::process::{Line, Tail},
    pipeline::subject::Subject,
};

/// Turns a build's output into events.
pub(super) struct BuildProgress<'a> {
    recorder: &'a Recorder,
    subject: Subject,
    output: OutputSink,
    log: Arc<BuildLog>,
    progress: Progress,
    /// What docker says about a build that failed before any step.
    error: Option<String>,
    tail: Tail,
    activities: HashMap<String, Activity>,
}

impl<'a> BuildProgress<'a> {
    pub(super) fn new(recorder: &'a Recorder, subject: Subject, log: Arc<BuildLog>) -> Self {
        Self {
            recorder,
            subject,
            output: recorder.output(STEP).copied_to(log.clone()),
            log,
            progress: Progress::default(),
            error: None,
            tail: Tail::default(),
            activities: HashMap::new(),
        }
    }

    pub(super) fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Text(text) => {
                let updates = self.progress.line(text);
                self.record(updates);
            }
            Line::Update(_) | Line::Quiet => self.output.take(line),
        }
    }

    /// What BuildKit told, the step that failed or what failed before any, and the last lines of output.
    pub(super) fn finish(mut self) -> (Progress, Option<String>, String) {
        let updates = self.progress.close();
        self.record(updates);
        let failed = self.progress.failed().map(str::to_owned).or(self.error);
        (self.progress, failed, self.tail.text())
    }

    fn record(&mut self, updates: Vec<Update>) {
        for update in updates {
            match update {
                Update::Output(line) => {
                    if let Some(error) = error_of(&line) {
                        self.error = Some(error.to_owned());
                    }
                    self.tail.push(&line);
                    self.output.line(&line);
                }
                Update::Activity(change) => self.activity(change),
                Update::Step(change) => {
                    // Output from before the change comes before it in the log.
                    self.output.flush();
                    let change = StepChange {
                        name: self.subject.about(change.name),
                        ..change
                    };
                    self.log.line(&step_line(&change));
                    self.recorder.build_step(change);
                }
            }
        }
    }
}

impl BuildProgress<'_> {
    fn activity(&mut self, change: ActivityChange) {
        if change.finished {
            self.activities.remove(&change.name);
            return;
        }
        let recorder = self.recorder;
        let activity = self
            .activities
            .entry(change.name)
            .or_insert_with_key(|name| recorder.activity(STEP, name));
        activity.detail(&change.detail);
        activity.bytes(change.done, change.total);
    }
}

/// What the log of a build says of a step that began or ended.
fn step_line(change: &StepChange) -> String {
    let number = change.number;
    match change.status {
        Status::Started => format!("#{number} {}", without_escapes(&change.name)),
        Status::Done => format!("#{number} DONE {:.1} s", change.seconds),
        Status::Cached => format!("#{number} CACHED {}", without_escapes(&change.name)),
        Status::Failed => format!("#{number} FAILED after {:.1} s", change.seconds),
        Status::Canceled => format!("#{number} CANCELED"),
    }
}

/// The error that a line of docker's tells, without the names of its parts that passed it on.
fn error_of(line: &str) -> Option<&str> {
    let mut error = line.trim().strip_prefix("ERROR: ")?;
    for layer in ["failed to build: ", "failed to solve: "] {
        error = error.strip_prefix(layer).unwrap_or(error);
    }
    Some(error)
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::event::Kind;
    use hearth_domain::AttemptRef;
    use hearth_runtime::Tasks;

    use super::*;
    use crate::{build_log::BuildLogs, buildkit::Counts};

    #[test]
    fn the_error_of_a_build_is_told_without_the_parts_that_passed_it_on() {
        for (line, error) in [
            (
                "ERROR: failed to build: failed to stat x",
                Some("failed to stat x"),
            ),
            (
                "ERROR: failed to build: failed to solve: no such stage\r",
                Some("no such stage"),
            ),
            ("ERROR: x", Some("x")),
            ("#7 ERROR: x", None),
        ] {
            assert_eq!(error_of(line), error, "{line:?}");
        }
    }

    #[tokio::test]
    async fn a_step_is_told_between_the_output_before_and_after_it() {
        let log = Arc::new(crate::attempt::AttemptLog::new(1));
        let recorder = Recorder::new(
            log.clone(),
            crate::metrics::AgentMetrics::new(&hearth_runtime::Metrics::default()),
        );
        let dir = tempfile::tempdir().unwrap();
        let logs = BuildLogs::new(dir.path().to_owned(), Tasks::default());
        let attempt = AttemptRef {
            workspace: "ws-1".parse().unwrap(),
            number: 3,
        };
        let kept = Arc::new(logs.begin(&attempt));
        let mut progress = BuildProgress::new(&recorder, Subject::default(), kept.clone());
        let vertex = |rest: &str| {
            format!(
                r#"{{"vertexes":[{{"digest":"a","name":"[1/1] RUN x","started":"2026-01-01T00:00:00Z"{rest}}}]}}"#
            )
        };
        progress.take(Line::Text("before"));
        progress.take(Line::Text(&vertex("")));
        progress.take(Line::Text(
            r#"{"logs":[{"vertex":"a","data":"aW5zaWRlCg=="}]}"#,
        ));
        progress.take(Line::Text(&vertex(r#","cached":true"#)));
        progress.take(Line::Text("after"));
        assert_eq!(
            progress.finish().0.counts(),
            Counts {
                total: 1,
                reused: 1
            }
        );
        let kinds: Vec<_> = log
            .after(0, None)
            .events
            .into_iter()
            .filter_map(|event| event.kind)
            .map(|kind| match kind {
                Kind::Log(chunk) => chunk.text,
                Kind::BuildStep(step) => format!("<{:?}>", step.status()),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            kinds,
            ["before", "<Started>", "#1 inside", "<Cached>", "after"]
        );
        let whole = "before\n#1 [1/1] RUN x\n#1 inside\n#1 CACHED [1/1] RUN x\nafter\n";
        assert_eq!(kept.whole(), whole);
    }
}
