//! Events as lines with a time in front, for a pipe.

use hearth_api::v1::{Activity, BuildStepStatus, Event, HookStatus, TransferProgress, event::Kind};
use prost_types::Timestamp;

use super::{
    describe::describe,
    format::{between, clock},
};

/// Shortest time between two lines of a transfer, except for its end.
const TRANSFER_SECONDS: f64 = 5.0;

/// The time in front of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Seconds since the attempt's first event.
    Elapsed,
    /// Date and time in UTC.
    Clock,
}

/// Renders the events of a workspace, in order.
#[derive(Debug)]
pub(crate) struct Plain {
    stamp: Stamp,
    /// Whether the output of commands is shown.
    output: bool,
    attempt: u32,
    began: Option<Timestamp>,
    /// When a transfer was last printed, and whether that was its end; by direction.
    transfers: [Option<(Timestamp, bool)>; 3],
}

impl Plain {
    pub(crate) fn new(stamp: Stamp, output: bool) -> Self {
        Self {
            stamp,
            output,
            attempt: 0,
            began: None,
            transfers: [None; 3],
        }
    }

    /// The lines of an event; no line for those that say nothing new.
    pub(crate) fn lines(&mut self, event: &Event) -> Vec<String> {
        let mut lines = Vec::new();
        if event.attempt != self.attempt {
            // A later attempt replaces the one before.
            if event.attempt > 1 {
                lines.push(format!("attempt {}", event.attempt));
            }
            self.attempt = event.attempt;
            self.began = event.time;
            self.transfers = [None; 3];
        }
        if let Some(kind) = &event.kind
            && self.is_shown(kind, event.time)
        {
            let stamp = self.stamp(event.time);
            lines.extend(
                describe(kind)
                    .into_iter()
                    .map(|text| format!("{stamp} {text}")),
            );
        }
        lines
    }

    fn is_shown(&mut self, kind: &Kind, time: Option<Timestamp>) -> bool {
        match kind {
            Kind::Log(_) => self.output,
            // The step's end repeats its name, with the result.
            Kind::BuildStep(step) => step.status() != BuildStepStatus::Started,
            Kind::Transfer(progress) => self.is_due(progress, time),
            Kind::Activity(activity) => is_beginning(activity),
            // The activity of the hook tells its beginning.
            Kind::Hook(hook) => hook.status() != HookStatus::Started,
            Kind::StateChanged(_)
            | Kind::StepStarted(_)
            | Kind::StepFinished(_)
            | Kind::Cloned(_)
            | Kind::Cache(_)
            | Kind::Push(_)
            | Kind::Container(_)
            | Kind::Warning(_)
            | Kind::Waiting(_)
            | Kind::ContainerEnded(_)
            | Kind::Expiring(_)
            | Kind::Settled(_) => true,
        }
    }

    fn is_due(&mut self, progress: &TransferProgress, time: Option<Timestamp>) -> bool {
        let now = time.unwrap_or_default();
        let ended = progress.bytes_total > 0
            && progress.bytes_done >= progress.bytes_total
            && progress.layers_done >= progress.layers_total;
        let last = &mut self.transfers[progress.direction() as usize];
        let due = match last {
            None => true,
            Some((time, had_ended)) => {
                (ended && !*had_ended) || between(time, &now) >= TRANSFER_SECONDS
            }
        };
        if due {
            *last = Some((now, ended));
        }
        due
    }

    fn stamp(&self, time: Option<Timestamp>) -> String {
        match self.stamp {
            Stamp::Clock => clock(time.as_ref()),
            Stamp::Elapsed => {
                let elapsed = match (&self.began, &time) {
                    (Some(began), Some(time)) => between(began, time).max(0.0),
                    _ => 0.0,
                };
                format!("[{elapsed:6.1}s]")
            }
        }
    }
}

/// How an activity goes on is for a display that can overwrite it.
fn is_beginning(activity: &Activity) -> bool {
    !activity.finished && activity.detail.is_empty() && activity.bytes_done == 0
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{
        BuildStep, LogChunk, PipelineStep, StateChanged, StepFinished, TransferDirection,
        WorkspaceState,
    };

    use super::*;

    fn event(attempt: u32, tenths: i64, kind: Kind) -> Event {
        Event {
            sequence: 1,
            attempt,
            time: Some(Timestamp {
                seconds: 100 + tenths / 10,
                nanos: (tenths % 10) as i32 * 100_000_000,
            }),
            kind: Some(kind),
        }
    }

    fn preparing() -> Kind {
        Kind::StateChanged(StateChanged {
            state: WorkspaceState::Preparing.into(),
            ..Default::default()
        })
    }

    #[test]
    fn lines_carry_the_seconds_since_their_attempt_began() {
        let mut plain = Plain::new(Stamp::Elapsed, false);
        assert_eq!(
            plain.lines(&event(1, 0, preparing())),
            ["[   0.0s] PREPARING"]
        );
        let cloned = Kind::StepFinished(StepFinished {
            step: PipelineStep::Clone.into(),
            seconds: 1.2,
            succeeded: true,
        });
        assert_eq!(
            plain.lines(&event(1, 123, cloned)),
            ["[  12.3s] clone done (1.2 s)"]
        );
        assert_eq!(
            plain.lines(&event(2, 500, preparing())),
            ["attempt 2", "[   0.0s] PREPARING"]
        );
    }

    #[test]
    fn output_is_shown_only_when_asked_for_and_build_steps_only_when_they_end() {
        let log = Kind::Log(LogChunk {
            step: PipelineStep::Image.into(),
            text: "hello".into(),
            dropped_lines: 0,
        });
        assert!(
            Plain::new(Stamp::Elapsed, false)
                .lines(&event(1, 0, log.clone()))
                .is_empty()
        );
        let mut plain = Plain::new(Stamp::Clock, true);
        assert_eq!(
            plain.lines(&event(1, 0, log)),
            ["1970-01-01T00:01:40Z image | hello"]
        );
        let step = |status: BuildStepStatus| {
            Kind::BuildStep(BuildStep {
                name: "[1/2] RUN a".into(),
                status: status.into(),
                ..Default::default()
            })
        };
        assert!(
            plain
                .lines(&event(1, 1, step(BuildStepStatus::Started)))
                .is_empty()
        );
        assert_eq!(
            plain
                .lines(&event(1, 2, step(BuildStepStatus::Cached)))
                .len(),
            1
        );
    }

    #[test]
    fn a_transfer_is_printed_now_and_then_and_once_at_its_end() {
        let mut plain = Plain::new(Stamp::Elapsed, false);
        let mut printed = Vec::new();
        for (tenths, done, layers_done) in [
            (0, 1, 0),
            (10, 2, 0),
            (49, 3, 1),
            (50, 4, 1),
            // They are unpacked.
            (60, 10, 1),
            (61, 10, 2),
            (62, 10, 2),
        ] {
            let transfer = Kind::Transfer(TransferProgress {
                direction: TransferDirection::Fetch.into(),
                bytes_done: done,
                bytes_total: 10,
                layers_done,
                layers_total: 2,
            });
            printed.extend(plain.lines(&event(1, tenths, transfer)));
        }
        let said = printed.iter().map(|line| line.split("] ").nth(1).unwrap());
        assert_eq!(
            said.collect::<Vec<_>>(),
            [
                "fetched 1 B of 10 B, 0 of 2 layers",
                "fetched 4 B of 10 B, 1 of 2 layers",
                "fetched 10 B of 10 B, 2 of 2 layers"
            ]
        );
    }
}
