//! The rows of the live display.

use hearth_api::v1::{PipelineStep, TransferProgress};
use hearth_domain::text::printable_line;

use super::{format::seconds, names};
use crate::progress::{Progress, Step};

/// The most concurrent build steps that are shown: many stages would fill the screen.
const BUILD_ROWS: usize = 4;

/// Identity of a row, so that it keeps its place and its elapsed time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A step of the pipeline, by its position, since a step may run twice.
    Step(usize),
    /// A step of the image build, by its number.
    Build(u32),
    /// Something that goes on within a step, by the step's number and its name.
    Activity(i32, String),
    /// The fetch.
    Fetch,
    /// The push.
    Push,
}

/// Appearance of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Look {
    /// Something that runs: spinner, text, seconds.
    Running(String),
    /// Something that has ended: mark, text, seconds.
    Ended(String),
    /// A bar of bytes.
    Bar {
        /// Name of the transfer.
        label: &'static str,
        /// Bytes transferred.
        done: u64,
        /// Bytes in all; zero when not known.
        total: u64,
    },
}

/// The rows, from top to bottom.
pub(crate) fn rows(progress: &Progress) -> Vec<(Key, Look)> {
    let mut rows = Vec::new();
    for (position, step) in progress.steps.iter().enumerate() {
        rows.push((Key::Step(position), look(step, progress)));
        if step.end.is_some() {
            continue;
        }
        let going_on = progress.activities.iter();
        let going_on = going_on.filter(|activity| activity.step() == step.step);
        rows.extend(going_on.map(|activity| {
            let text = format!("  {} {}", activity.name, activity.detail);
            (
                Key::Activity(activity.step, activity.name.clone()),
                Look::Running(printable_line(&text)),
            )
        }));
        if step.step == PipelineStep::Image {
            let running = progress.building.iter().take(BUILD_ROWS);
            rows.extend(running.map(|(number, name)| {
                (
                    Key::Build(*number),
                    Look::Running(format!("  {}", printable_line(name))),
                )
            }));
        }
    }
    let transfers = [
        (Key::Fetch, "fetch", progress.fetching()),
        (Key::Push, "push", progress.pushing()),
    ];
    for (key, label, transfer) in transfers {
        if let Some(transfer) = transfer {
            rows.push((key, bar(label, transfer)));
        }
    }
    rows
}

fn look(step: &Step, progress: &Progress) -> Look {
    let name = names::step(step.step.into());
    let Some(end) = step.end else {
        let text = match step.step {
            PipelineStep::Image if progress.built > 0 => format!(
                "{name:<9} steps done: {}, cached: {}",
                progress.built, progress.cached
            ),
            _ => format!("{name:<9} {}", printable_line(&step.description)),
        };
        return Look::Running(text);
    };
    let mark = match end.succeeded {
        true => '✓',
        false => '✗',
    };
    Look::Ended(format!("{mark} {name:<9} {}", seconds(end.seconds)))
}

fn bar(label: &'static str, transfer: TransferProgress) -> Look {
    Look::Bar {
        label,
        done: transfer.bytes_done,
        // The total grows while layers become known; the bar must not run past its end.
        total: match transfer.bytes_total {
            0 => 0,
            total => total.max(transfer.bytes_done),
        },
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{
        BuildStep, BuildStepStatus, Event, StepFinished, StepStarted, TransferDirection,
        event::Kind,
    };

    use super::*;

    #[test]
    fn finished_steps_stand_above_the_running_one_with_its_build_steps_and_bars_below() {
        let mut progress = Progress::default();
        let build = |number, name: &str, status: BuildStepStatus| {
            Kind::BuildStep(BuildStep {
                number,
                name: name.into(),
                status: status.into(),
                seconds: 0.0,
            })
        };
        for kind in [
            Kind::StepStarted(StepStarted {
                step: PipelineStep::Clone.into(),
                description: "clones".into(),
            }),
            Kind::StepFinished(StepFinished {
                step: PipelineStep::Clone.into(),
                seconds: 1.2,
                succeeded: true,
            }),
            Kind::StepStarted(StepStarted {
                step: PipelineStep::Image.into(),
                description: "builds".into(),
            }),
            build(1, "[1/3] FROM a", BuildStepStatus::Cached),
            build(3, "[3/3] RUN \u{1b}[5mmake", BuildStepStatus::Started),
            Kind::Transfer(TransferProgress {
                direction: TransferDirection::Fetch.into(),
                bytes_done: 7,
                bytes_total: 5,
            }),
        ] {
            progress.apply(&Event {
                attempt: 1,
                kind: Some(kind),
                ..Default::default()
            });
        }
        assert_eq!(
            rows(&progress),
            [
                (Key::Step(0), Look::Ended("✓ clone     1.2 s".into())),
                (
                    Key::Step(1),
                    Look::Running("image     steps done: 1, cached: 1".into())
                ),
                (Key::Build(3), Look::Running("  [3/3] RUN make".into())),
                (
                    Key::Fetch,
                    Look::Bar {
                        label: "fetch",
                        done: 7,
                        total: 7
                    }
                ),
            ]
        );
    }
}
