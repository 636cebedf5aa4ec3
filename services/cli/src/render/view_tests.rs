use hearth_api::v1::{
    BuildStep, BuildStepStatus, Event, LogChunk, StepFinished, StepStarted, TransferProgress,
    Waiting, event::Kind,
};
use prost_types::Timestamp;

use super::*;

const LONG: &str =
    "fetching registry.example/a-team/with-a-long-name/and-an-image-with-a-longer-one:2026-11";

fn started(step: PipelineStep, description: &str) -> Kind {
    Kind::StepStarted(StepStarted {
        step: step.into(),
        description: description.into(),
    })
}

fn finished(step: PipelineStep, succeeded: bool) -> Kind {
    Kind::StepFinished(StepFinished {
        step: step.into(),
        seconds: 1.2,
        succeeded,
    })
}

fn build(number: u32, name: &str, status: BuildStepStatus) -> Kind {
    Kind::BuildStep(BuildStep {
        number,
        name: name.into(),
        status: status.into(),
        seconds: 0.0,
    })
}

fn activity(step: PipelineStep, name: &str, detail: &str, bytes: (u64, u64)) -> Kind {
    Kind::Activity(Activity {
        step: step.into(),
        name: name.into(),
        detail: detail.into(),
        bytes_done: bytes.0,
        bytes_total: bytes.1,
        finished: false,
    })
}

fn transfer(direction: TransferDirection, bytes_done: u64, bytes_total: u64) -> Kind {
    Kind::Transfer(TransferProgress {
        direction: direction.into(),
        bytes_done,
        bytes_total,
        ..TransferProgress::default()
    })
}

/// The rows after events that are a second apart, as text: what spins, what has ended, and plain lines.
fn shown(columns: usize, kinds: Vec<Kind>) -> Vec<String> {
    let mut progress = Progress::default();
    for (second, kind) in (0..).zip(kinds) {
        progress.apply(&Event {
            attempt: 1,
            time: Some(Timestamp {
                seconds: second,
                nanos: 0,
            }),
            kind: Some(kind),
            ..Default::default()
        });
    }
    let rows = rows(&progress, columns).into_iter();
    rows.map(|(_, look)| {
        let (text, frame) = match look {
            Look::Running(text) => (format!("* {text}"), FRAME - 2),
            Look::Ended(true, text) => (format!("✓ {text}"), 0),
            Look::Ended(false, text) => (format!("✗ {text}"), 0),
            Look::Line(text) => (text, 0),
        };
        assert!(measure_text_width(&text) + frame < columns + 1, "{text}");
        text
    })
    .collect()
}

fn a_build() -> Vec<Kind> {
    let image = PipelineStep::Image;
    vec![
        started(PipelineStep::Clone, "clones"),
        finished(PipelineStep::Clone, true),
        started(image, "builds the image"),
        activity(image, LONG, "", (40_000_000, 160_000_000)),
        build(1, "[1/3] COPY a", BuildStepStatus::Started),
        build(1, "[1/3] COPY a", BuildStepStatus::Cached),
        build(3, "[3/3] RUN \u{1b}[5mmake", BuildStepStatus::Started),
        transfer(TransferDirection::Fetch, 7_000_000, 50_000_000),
    ]
}

#[test]
fn what_goes_on_stands_below_its_step_and_fits_80_columns() {
    assert_eq!(
        shown(80, a_build()),
        [
            "✓ clone     1.2 s",
            "* image     steps done: 1, cached: 1",
            "  fetching registry.…-longer-one:2026-11 ━━━━━───────────────── 40 MB of 160 MB",
            "*   [3/3] RUN make",
            "  fetch ━━━━━─────────────────────────────────── 7.0 MB of 50 MB",
        ]
    );
}

#[test]
fn more_of_a_name_is_shown_in_120_columns() {
    let rows = shown(120, a_build());
    assert_eq!(
        rows[2],
        "  fetching registry.example/a-t…mage-with-a-longer-one:2026-11 ━━━━━━━━━━────────────────────────────── 40 MB of 160 MB"
    );
}

#[test]
fn a_pace_is_shown_once_it_is_known_and_unpacking_after_the_last_byte() {
    let fetched = |done| transfer(TransferDirection::Fetch, done, 100_000_000);
    let image = started(PipelineStep::Image, "fetches the image");
    let row = |kinds: Vec<Kind>| shown(80, kinds).pop().expect("a row");
    assert_eq!(
        row(vec![image.clone(), fetched(10_000_000)]),
        "  fetch ━━━━──────────────────────────────────── 10 MB of 100 MB"
    );
    assert_eq!(
        row(vec![
            image.clone(),
            fetched(10_000_000),
            fetched(50_000_000)
        ]),
        "  fetch ━━━━━━━━━━━━━━━━━───────────────── 50 MB of 100 MB, 40 MB/s, 1.2 s left"
    );
    assert_eq!(
        row(vec![image.clone(), fetched(100_000_000)]),
        "*   unpacking: 100 MB"
    );
    let unknown = transfer(TransferDirection::Fetch, 5_000_000, 0);
    assert_eq!(row(vec![image, unknown]), "*   fetch: 5.0 MB");
}

#[test]
fn layers_and_pace_stand_behind_the_bytes_and_make_room_for_the_bar_where_it_is_narrow() {
    let fetched = |bytes_done, layers_done| {
        Kind::Transfer(TransferProgress {
            direction: TransferDirection::Fetch.into(),
            bytes_done,
            bytes_total: 100_000_000,
            layers_done,
            layers_total: 7,
        })
    };
    let image = started(PipelineStep::Image, "fetches the image");
    let row = |columns, bytes_done, layers_done| {
        let kinds = vec![
            image.clone(),
            fetched(10_000_000, 0),
            fetched(bytes_done, layers_done),
        ];
        shown(columns, kinds).pop().expect("a row")
    };
    for (columns, expected) in [
        (
            80,
            "  fetch ━━━━━━━━━────────── 50 MB of 100 MB, 3 of 7 layers, 40 MB/s, 1.2 s left",
        ),
        (
            60,
            "  fetch ━━━━━━━─────── 50 MB of 100 MB, 40 MB/s, 1.2 s left",
        ),
        (45, "  fetch ━━━━━────── 50 MB of 100 MB, 40 MB/s"),
        (36, "  fetch ━━━━━────── 50 MB of 100 MB"),
        (26, "  fetch ─ 50 MB of 100 MB"),
    ] {
        assert_eq!(row(columns, 50_000_000, 3), expected, "{columns}");
    }
    for columns in 20..130 {
        assert!(measure_text_width(&row(columns, 50_000_000, 3)) < columns);
    }
    assert_eq!(
        row(80, 100_000_000, 6),
        "*   unpacking: 100 MB, 6 of 7 layers"
    );
}

#[test]
fn git_a_hook_and_a_wait_are_told_by_their_last_line() {
    let log = Kind::Log(LogChunk {
        step: PipelineStep::Clone.into(),
        text: "Receiving objects:  4%\nReceiving objects: 45% (9/20)\n\n".into(),
        dropped_lines: 0,
    });
    let clone = started(PipelineStep::Clone, "clones https://git.example/a");
    assert_eq!(
        shown(80, vec![clone.clone(), log.clone()]),
        [
            "* clone     clones https://git.example/a",
            "    Receiving objects: 45% (9/20)"
        ]
    );
    let ended = vec![clone, log, finished(PipelineStep::Clone, false)];
    assert_eq!(shown(80, ended), ["✗ clone     1.2 s"]);

    let container = PipelineStep::Container;
    let hook = activity(container, "postCreateCommand", "npm \u{1b}[1mfetch", (0, 0));
    assert_eq!(
        shown(80, vec![started(container, "starts"), hook]),
        ["* container starts", "*   postCreateCommand: npm fetch"]
    );

    let waiting = Kind::Waiting(Waiting {
        node: "node-1".into(),
        seconds: 30.0,
        ..Waiting::default()
    });
    let resolve = started(PipelineStep::Resolve, "asks the cache");
    let rows = shown(80, vec![resolve.clone(), waiting.clone()]);
    let wait = "* resolve   waiting for node-1, which…uilding the same image: about 30 s";
    assert_eq!(rows, [wait]);
    let over = vec![resolve, waiting, finished(PipelineStep::Resolve, true)];
    assert_eq!(shown(80, over), ["✓ resolve   1.2 s"]);
}
