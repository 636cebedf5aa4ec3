//! The rows of the live display.

use console::measure_text_width;
use hearth_api::v1::{Activity, PipelineStep, TransferDirection};
use hearth_domain::text::printable_line;

use super::{
    describe,
    format::{bytes, cut_middle, seconds},
    names,
};
use crate::progress::{Progress, Step, Transfer};

/// The most concurrent build steps that are shown: many stages would fill the screen.
const BUILD_ROWS: usize = 4;
/// Columns of a spinner before a running row, and of its seconds behind.
const FRAME: usize = 10;
/// A bar is no longer than this; in a narrow terminal its numbers count more.
const MAX_BAR: usize = 40;
/// Where less is left for a bar, the numbers behind it that can be spared make room.
const MIN_BAR: usize = 8;

/// Identity of a row, so that it keeps its place and its elapsed time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A step of the pipeline, by its position, since a step may run twice.
    Step(usize),
    /// What the command of a step printed last, by the step's position.
    Output(usize),
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
    /// Something that has ended, whether it succeeded, and its text.
    Ended(bool, String),
    /// A line without a spinner.
    Line(String),
}

/// The rows, from top to bottom, each no wider than the terminal.
pub(crate) fn rows(progress: &Progress, columns: usize) -> Vec<(Key, Look)> {
    let mut rows = Vec::new();
    for (position, step) in progress.steps.iter().enumerate() {
        rows.push((Key::Step(position), look(step, progress)));
        if step.end.is_some() {
            continue;
        }
        if let Some(line) = &step.output {
            rows.push((
                Key::Output(position),
                Look::Line(format!("    {}", printable_line(line))),
            ));
        }
        let going_on = progress.activities.iter();
        let going_on = going_on.filter(|activity| activity.step() == step.step);
        rows.extend(going_on.map(|activity| {
            let key = Key::Activity(activity.step, activity.name.clone());
            (key, goes_on(activity, columns))
        }));
        if step.step == PipelineStep::Image {
            let running = progress.building.iter().take(BUILD_ROWS);
            rows.extend(running.map(|(number, name)| {
                let text = format!("  {}", printable_line(name));
                (Key::Build(*number), Look::Running(text))
            }));
        }
    }
    for (key, transfer) in [(Key::Fetch, &progress.fetch), (Key::Push, &progress.push)] {
        if let Some(transfer) = transfer {
            rows.push((key, moved(transfer, columns)));
        }
    }
    for (_, look) in &mut rows {
        look.fit(columns);
    }
    rows
}

impl Look {
    fn fit(&mut self, columns: usize) {
        let (text, columns) = match self {
            Self::Running(text) => (text, columns.saturating_sub(FRAME)),
            Self::Ended(_, text) => (text, columns.saturating_sub(3)),
            Self::Line(text) => (text, columns.saturating_sub(1)),
        };
        *text = cut_middle(text, columns);
    }
}

fn look(step: &Step, progress: &Progress) -> Look {
    let name = names::step(step.step.into());
    if let Some(end) = step.end {
        return Look::Ended(end.succeeded, format!("{name:<9} {}", seconds(end.seconds)));
    }
    let text = match (step.step, &progress.waiting) {
        (PipelineStep::Image, _) if progress.built > 0 => {
            format!(
                "steps done: {}, cached: {}",
                progress.built, progress.cached
            )
        }
        (PipelineStep::Resolve, Some(waiting)) => describe::waiting(waiting),
        _ => printable_line(&step.description),
    };
    Look::Running(format!("{name:<9} {text}"))
}

/// What goes on within a step: a bar where its bytes are known, else what it does now.
fn goes_on(activity: &Activity, columns: usize) -> Look {
    let name = printable_line(&activity.name);
    let detail = printable_line(&activity.detail);
    let (done, total) = (activity.bytes_done, activity.bytes_total);
    if done < total {
        let label = match detail.is_empty() {
            true => format!("  {name}"),
            false => format!("  {name}: {detail}"),
        };
        return Look::Line(bar(&label, done, total, &[], columns));
    }
    Look::Running(match (detail.is_empty(), done) {
        (true, 0) => format!("  {name}"),
        (true, done) => format!("  {name}: {}", bytes(done)),
        (false, _) => format!("  {name}: {detail}"),
    })
}

/// An image on its way. When all bytes are there, the engine or the registry has still to take them in.
fn moved(transfer: &Transfer, columns: usize) -> Look {
    let (label, after) = match transfer.direction {
        TransferDirection::Push => ("push", "the registry takes it in"),
        TransferDirection::Fetch | TransferDirection::Unspecified => ("fetch", "unpacking"),
    };
    let (done, total) = (transfer.done, transfer.total);
    if total == 0 {
        return Look::Running(format!("  {label}: {}", bytes(done)));
    }
    let layers = describe::layers(transfer.layers);
    if done >= total {
        let layers = layers.map_or_else(String::new, |layers| format!(", {layers}"));
        return Look::Running(format!("  {after}: {}{layers}", bytes(total)));
    }
    let rate = transfer.bytes_per_second();
    let left = rate.map(|rate| format!("{} left", seconds((total - done) as f64 / rate)));
    let rate = rate.map(|rate| format!("{}/s", bytes(rate as u64)));
    let all: Vec<_> = [&layers, &rate, &left].into_iter().flatten().collect();
    let few: Vec<_> = [&rate, &left].into_iter().flatten().collect();
    let one: Vec<_> = rate.iter().collect();
    let label = format!("  {label}");
    Look::Line(bar(&label, done, total, &[&all, &few, &one], columns))
}

/// `  fetch ━━━━━━━━──────── 52 MB of 104 MB, 3 of 7 layers, 10 MB/s, 5.2 s left`. Of `more` it has the first that leaves room
/// for the bar.
fn bar(label: &str, done: u64, total: u64, more: &[&[&String]], columns: usize) -> String {
    let short = format!("{} of {}", bytes(done), bytes(total));
    let mut with_more = more.iter().map(|more| {
        let more = more.iter().map(|number| format!(", {number}"));
        format!("{short}{}", more.collect::<String>())
    });
    let room = columns.saturating_sub(measure_text_width(label) + MIN_BAR + 3);
    let numbers = with_more
        .find(|numbers| measure_text_width(numbers) <= room)
        .unwrap_or(short);
    let taken = measure_text_width(&numbers) + 3;
    let label = cut_middle(
        label,
        (columns / 2).max(columns.saturating_sub(taken + MAX_BAR)),
    );
    let room = columns.saturating_sub(taken + measure_text_width(&label));
    let length = room.min(MAX_BAR);
    let full = (length as u128 * u128::from(done) / u128::from(total.max(1))) as usize;
    let full = full.min(length);
    format!(
        "{label} {}{} {numbers}",
        "━".repeat(full),
        "─".repeat(length - full)
    )
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
