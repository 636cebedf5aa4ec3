//! State of an attempt, from its events. The live display is drawn from it.

use std::collections::BTreeMap;

use hearth_api::v1::{
    Activity, BuildStep, BuildStepStatus, Event, PipelineStep, TransferDirection, TransferProgress,
    event::Kind,
};

/// A step of the pipeline that has started.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) step: PipelineStep,
    pub(crate) description: String,
    pub(crate) end: Option<StepEnd>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepEnd {
    pub(crate) seconds: f64,
    pub(crate) succeeded: bool,
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
    fetch: Option<TransferProgress>,
    push: Option<TransferProgress>,
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
            Some(Kind::StepStarted(started)) => self.steps.push(Step {
                step: started.step(),
                description: started.description.clone(),
                end: None,
            }),
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
            Some(Kind::Transfer(transfer)) => match transfer.direction() {
                TransferDirection::Fetch => self.fetch = Some(*transfer),
                TransferDirection::Push => self.push = Some(*transfer),
                TransferDirection::Unspecified => {}
            },
            Some(
                Kind::StateChanged(_)
                | Kind::Cloned(_)
                | Kind::Log(_)
                | Kind::Cache(_)
                | Kind::Push(_)
                | Kind::Container(_)
                | Kind::Warning(_)
                | Kind::Waiting(_)
                | Kind::Settled(_),
            )
            | None => {}
        }
    }

    /// The fetch, until the image step has ended.
    pub(crate) fn fetching(&self) -> Option<TransferProgress> {
        self.fetch.filter(|_| !self.has_ended(PipelineStep::Image))
    }

    /// The push, until it has ended.
    pub(crate) fn pushing(&self) -> Option<TransferProgress> {
        self.push.filter(|_| !self.has_ended(PipelineStep::Push))
    }

    fn has_ended(&self, step: PipelineStep) -> bool {
        self.steps
            .iter()
            .any(|begun| begun.step == step && begun.end.is_some())
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
                end: Some(end),
            }),
        }
        if step == PipelineStep::Image {
            self.building.clear();
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
    use hearth_api::v1::{StepFinished, StepStarted};

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
        assert!(fold([(1, fetched(10))]).fetching().is_some());
        let ended = finished(PipelineStep::Image, true);
        assert!(fold([(1, fetched(10)), (1, ended)]).fetching().is_none());
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
        assert!(progress.fetching().is_none());
    }
}
