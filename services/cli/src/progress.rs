//! State of an attempt, from its events. The live display is drawn from it.

use std::collections::BTreeMap;

use hearth_api::v1::{
    Activity, BuildStep, BuildStepStatus, Event, LogChunk, PipelineStep, StepStarted,
    TransferDirection, TransferProgress, Waiting, event::Kind,
};
use prost_types::Timestamp;

/// A step of the pipeline that has started.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) step: PipelineStep,
    pub(crate) description: String,
    /// The last line that its command printed, where its commands are the step's own: the clone.
    pub(crate) output: Option<String>,
    pub(crate) end: Option<StepEnd>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepEnd {
    pub(crate) seconds: f64,
    pub(crate) succeeded: bool,
}

/// An image on its way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transfer {
    pub(crate) direction: TransferDirection,
    /// Bytes so far, and in all; zero when that is not known.
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// Layers so far, and in all; zero when they are not counted.
    pub(crate) layers: (u32, u32),
    /// When it was first told of and how many bytes it had then.
    since: (Timestamp, u64),
    now: Timestamp,
}

impl Transfer {
    /// Takes what is told next.
    fn told(before: Option<Self>, progress: &TransferProgress, at: Timestamp) -> Self {
        let done = progress.bytes_done;
        let since = before.map(|before| before.since);
        Self {
            direction: progress.direction(),
            done,
            total: progress.bytes_total,
            layers: (progress.layers_done, progress.layers_total),
            // Fewer bytes than before: another transfer.
            since: since
                .filter(|(_, first)| *first <= done)
                .unwrap_or((at, done)),
            now: at,
        }
    }

    /// Its pace; `None` before it is known.
    pub(crate) fn bytes_per_second(&self) -> Option<f64> {
        let (since, first) = self.since;
        let seconds = (self.now.seconds - since.seconds) as f64
            + f64::from(self.now.nanos - since.nanos) / 1e9;
        let moved = (self.done - first) as f64;
        (seconds >= 1.0 && moved > 0.0).then(|| moved / seconds)
    }
}

/// The newest attempt.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    attempt: u32,
    /// In the order in which they started; they may overlap.
    pub(crate) steps: Vec<Step>,
    /// Names of the running steps of the image build, by number.
    pub(crate) building: BTreeMap<u32, String>,
    /// Steps of the image build that have ended.
    pub(crate) built: u32,
    /// How many of these came from the cache.
    pub(crate) cached: u32,
    /// What goes on within the steps that run, in the order in which it began.
    pub(crate) activities: Vec<Activity>,
    /// The fetch, while the image is on its way to the node.
    pub(crate) fetch: Option<Transfer>,
    /// The push, until it has ended.
    pub(crate) push: Option<Transfer>,
    /// Whom this attempt waits for.
    pub(crate) waiting: Option<Waiting>,
}

impl Progress {
    /// Applies an event. An event of another attempt starts over: that attempt replaced the previous one.
    pub(crate) fn apply(&mut self, event: &Event) {
        if event.attempt != self.attempt {
            *self = Self {
                attempt: event.attempt,
                ..Self::default()
            };
        }
        match &event.kind {
            Some(Kind::StepStarted(started)) => self.start(started),
            Some(Kind::StepFinished(finished)) => {
                let step = finished.step();
                self.end(
                    step,
                    StepEnd {
                        seconds: finished.seconds,
                        succeeded: finished.succeeded,
                    },
                );
            }
            Some(Kind::BuildStep(step)) => self.build_step(step),
            Some(Kind::Activity(activity)) => self.activity(activity),
            Some(Kind::Transfer(transfer)) => {
                let at = event.time.unwrap_or_default();
                let row = match transfer.direction() {
                    TransferDirection::Fetch => &mut self.fetch,
                    TransferDirection::Push => &mut self.push,
                    TransferDirection::Unspecified => return,
                };
                *row = Some(Transfer::told(row.take(), transfer, at));
            }
            Some(Kind::Waiting(waiting)) => self.waiting = Some(waiting.clone()),
            Some(Kind::Log(chunk)) => self.log(chunk),
            Some(
                Kind::StateChanged(_)
                | Kind::Cloned(_)
                | Kind::Cache(_)
                | Kind::Push(_)
                | Kind::Container(_)
                | Kind::Warning(_)
                | Kind::ContainerEnded(_)
                | Kind::Expiring(_)
                | Kind::Hook(_)
                | Kind::Settled(_),
            )
            | None => {}
        }
    }

    fn start(&mut self, started: &StepStarted) {
        if started.step() == PipelineStep::Image {
            // What was fetched on a bet may not be what is wanted: if it is, the next event says how far it is.
            self.fetch = None;
        }
        self.steps.push(Step {
            step: started.step(),
            description: started.description.clone(),
            output: None,
            end: None,
        });
    }

    /// git tells its progress by its output. A build has its steps for that, and a hook its activity.
    fn log(&mut self, chunk: &LogChunk) {
        let line = chunk.text.lines().rfind(|line| !line.trim().is_empty());
        let clone = self
            .steps
            .iter_mut()
            .rfind(|begun| begun.step == PipelineStep::Clone && begun.end.is_none());
        if let (PipelineStep::Clone, Some(clone), Some(line)) = (chunk.step(), clone, line) {
            clone.output = Some(line.to_owned());
        }
    }

    fn end(&mut self, step: PipelineStep, end: StepEnd) {
        // A failed fetch is followed by a build, so a step may run twice: the end belongs to the running one.
        let running = self
            .steps
            .iter_mut()
            .rfind(|begun| begun.step == step && begun.end.is_none());
        match running {
            Some(begun) => begun.end = Some(end),
            // The start came before the first event of this stream.
            None => self.steps.push(Step {
                step,
                description: String::new(),
                output: None,
                end: Some(end),
            }),
        }
        match step {
            PipelineStep::Image => {
                self.building.clear();
                self.fetch = None;
            }
            PipelineStep::Push => self.push = None,
            PipelineStep::Resolve => self.waiting = None,
            _ => {}
        }
        // Nothing goes on in a step that has ended, even if the event that says so was lost.
        self.activities.retain(|activity| activity.step() != step);
    }

    fn activity(&mut self, told: &Activity) {
        let known = self
            .activities
            .iter()
            .position(|known| known.step == told.step && known.name == told.name);
        match known {
            Some(position) if told.finished => {
                self.activities.remove(position);
            }
            Some(position) => self.activities[position] = told.clone(),
            None if told.finished => {}
            None => self.activities.push(told.clone()),
        }
    }

    fn build_step(&mut self, step: &BuildStep) {
        match step.status() {
            BuildStepStatus::Started => {
                self.building.insert(step.number, step.name.clone());
            }
            BuildStepStatus::Done
            | BuildStepStatus::Cached
            | BuildStepStatus::Failed
            | BuildStepStatus::Canceled => {
                self.building.remove(&step.number);
                self.built += 1;
                self.cached += u32::from(step.status() == BuildStepStatus::Cached);
            }
            BuildStepStatus::Unspecified => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::StepFinished;

    use super::*;

    fn fold(events: impl IntoIterator<Item = (u32, Kind)>) -> Progress {
        let mut progress = Progress::default();
        for (attempt, kind) in events {
            progress.apply(&Event {
                attempt,
                kind: Some(kind),
                ..Default::default()
            });
        }
        progress
    }

    fn started(step: PipelineStep) -> Kind {
        Kind::StepStarted(StepStarted {
            step: step.into(),
            description: "begins".into(),
        })
    }

    fn finished(step: PipelineStep, succeeded: bool) -> Kind {
        Kind::StepFinished(StepFinished {
            step: step.into(),
            seconds: 1.0,
            succeeded,
        })
    }

    fn build(number: u32, status: BuildStepStatus) -> Kind {
        Kind::BuildStep(BuildStep {
            number,
            name: format!("[{number}/3] RUN"),
            status: status.into(),
            seconds: 0.0,
        })
    }

    fn fetched(bytes_done: u64) -> Kind {
        Kind::Transfer(TransferProgress {
            direction: TransferDirection::Fetch.into(),
            bytes_done,
            bytes_total: 10,
            ..TransferProgress::default()
        })
    }

    #[test]
    fn a_failed_fetch_that_is_followed_by_a_build_ends_each_step_once() {
        let image = PipelineStep::Image;
        let progress = fold([
            (1, started(image)),
            (1, finished(image, false)),
            (1, started(image)),
            (1, finished(image, true)),
        ]);
        let ends: Vec<_> = progress.steps.iter().map(|step| step.end).collect();
        let end = |succeeded| {
            Some(StepEnd {
                seconds: 1.0,
                succeeded,
            })
        };
        assert_eq!(ends, [end(false), end(true)]);
    }

    #[test]
    fn build_steps_run_until_they_end_or_the_image_does() {
        let mut events = vec![
            (1, started(PipelineStep::Image)),
            (1, build(1, BuildStepStatus::Started)),
            (1, build(2, BuildStepStatus::Started)),
            (1, build(1, BuildStepStatus::Cached)),
        ];
        let progress = fold(events.clone());
        assert_eq!(progress.building.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!((progress.built, progress.cached), (1, 1));
        events.push((1, finished(PipelineStep::Image, false)));
        assert!(fold(events).building.is_empty());
    }

    #[test]
    fn a_fetch_is_shown_until_the_image_step_has_ended() {
        assert!(fold([(1, fetched(10))]).fetch.is_some());
        let ended = finished(PipelineStep::Image, true);
        assert!(fold([(1, fetched(10)), (1, ended)]).fetch.is_none());
        // What was fetched on a bet, and is not wanted, leaves no row behind.
        let begun = started(PipelineStep::Image);
        assert!(fold([(1, fetched(3)), (1, begun.clone())]).fetch.is_none());
        assert!(
            fold([(1, fetched(3)), (1, begun), (1, fetched(4))])
                .fetch
                .is_some()
        );
    }

    #[test]
    fn a_pace_is_known_after_a_second_and_starts_over_with_another_transfer() {
        let at = |done, tenths: i64| {
            let progress = TransferProgress {
                bytes_done: done,
                bytes_total: 100,
                ..TransferProgress::default()
            };
            let time = Timestamp {
                seconds: tenths / 10,
                nanos: (tenths % 10) as i32 * 100_000_000,
            };
            (progress, time)
        };
        let mut transfer = None;
        let mut paces = Vec::new();
        for (progress, time) in [at(10, 0), at(20, 5), at(30, 20), at(5, 25), at(7, 45)] {
            let told = Transfer::told(transfer, &progress, time);
            paces.push(told.bytes_per_second());
            transfer = Some(told);
        }
        assert_eq!(paces, [None, None, Some(10.0), None, Some(1.0)]);
    }

    #[test]
    fn an_activity_has_a_row_until_it_or_its_step_has_ended() {
        let tell = |name: &str, finished| {
            Kind::Activity(Activity {
                step: PipelineStep::Image.into(),
                name: name.into(),
                finished,
                ..Activity::default()
            })
        };
        let mut events = vec![
            (1, tell("a", false)),
            (1, tell("b", false)),
            (1, tell("a", true)),
        ];
        let names = |events| -> Vec<String> {
            let progress = fold(events);
            progress.activities.into_iter().map(|a| a.name).collect()
        };
        assert_eq!(names(events.clone()), ["b"]);
        events.push((1, finished(PipelineStep::Image, true)));
        assert!(names(events).is_empty());
    }

    #[test]
    fn a_new_attempt_starts_over() {
        let progress = fold([
            (1, started(PipelineStep::Clone)),
            (1, fetched(3)),
            (2, started(PipelineStep::Validate)),
        ]);
        assert_eq!(progress.steps.len(), 1);
        assert_eq!(progress.steps[0].step, PipelineStep::Validate);
        assert!(progress.fetch.is_none());
    }
}
