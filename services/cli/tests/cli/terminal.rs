//! The live display, on a terminal of its own.

use std::{fs::File, io::Read as _, process::Stdio, str::Chars};

use hearth_api::v1::{
    Activity, Event, PipelineStep, StepStarted, Warning, WorkspaceState, event::Kind,
};
use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::process::Command;

use crate::{
    story::{REPOSITORY, prepared, story, workspace},
    support::{Answer, ControlPlane, End, Ended, ended},
    up::smooth,
};

/// Runs a client whose stderr is a terminal, and returns what it wrote there, too.
async fn run_on_a_terminal(kind: &str, columns: u16, mut command: Command) -> (Ended, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).expect("a terminal");
    grantpt(&screen).expect("access");
    unlockpt(&screen).expect("access");
    let size = Winsize {
        ws_row: 40,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&screen, size).expect("a size");
    let peer = ioctl_tiocgptpeer(&screen, flags).expect("its other side");
    let child = command
        .env("TERM", kind)
        .stderr(Stdio::from(peer))
        .spawn()
        .expect("the client");
    // Closes this process's copy of the other side, so that reading ends when the client does.
    drop(command);
    let reader = std::thread::spawn(move || {
        let (mut screen, mut shown) = (File::from(screen), Vec::new());
        // The end of a terminal is an error on Linux.
        screen.read_to_end(&mut shown).ok();
        String::from_utf8_lossy(&shown).into_owned()
    });
    let ended = ended(child).await;
    (ended, reader.join().expect("what was shown"))
}

#[tokio::test]
async fn a_terminal_shows_steps_as_they_end_and_output_above_them() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let (ended, shown) =
        run_on_a_terminal("xterm", 100, plane.hearth(&["up", REPOSITORY, "--verbose"])).await;
    assert_eq!(ended.code, Some(0), "{shown}");
    let coloured = "\u{1b}[32m✓\u{1b}[0m clone     1.2 s";
    assert!(shown.contains(coloured), "{shown:?}");
    assert!(shown.contains("image | hello from the build"), "{shown:?}");
    assert!(shown.contains("\u{1b}["), "nothing was drawn: {shown:?}");
    for harm in ["\u{1b}]0;", "owned", "\u{1b}[2Jbuild"] {
        assert!(!shown.contains(harm), "{shown:?}");
    }
    assert!(
        ended.stdout.starts_with("READY in 9.0 s: sample-1"),
        "{}",
        ended.stdout
    );
}

/// The number and the letter of an escape sequence, after its ESC.
fn sequence(text: &mut Chars<'_>) -> (usize, char) {
    let mut number = String::new();
    for c in text.skip_while(|c| *c == '[') {
        match c {
            '0'..='9' => number.push(c),
            kind => return (number.parse().unwrap_or(1), kind),
        }
    }
    panic!("a sequence without an end")
}

/// What a terminal of some columns shows after all that was written to it: enough of one for indicatif, which fills each
/// row up so that the next one begins by itself. A row that was too long would take two, and leave one behind.
fn screen(written: &str, columns: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let (mut row, mut column) = (0, 0);
    let mut text = written.chars();
    while let Some(c) = text.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                let (count, kind) = sequence(&mut text);
                match kind {
                    'A' => row -= count,
                    'B' => row += count,
                    'K' => rows[row].clear(),
                    'm' => {}
                    other => panic!("{other} in {written:?}"),
                }
            }
            c => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                column += 1;
                rows.resize((row + 1).max(rows.len()), String::new());
                rows[row].push(c);
            }
        }
        rows.resize((row + 1).max(rows.len()), String::new());
    }
    rows
}

#[tokio::test]
async fn rows_fit_the_terminal_and_none_is_left_behind() {
    let image = PipelineStep::Image.into();
    let tell = |name: &str, detail: &str, finished| {
        Kind::Activity(Activity {
            step: image,
            name: name.into(),
            detail: detail.into(),
            bytes_done: 30_000_000,
            bytes_total: 120_000_000,
            finished,
        })
    };
    let base = format!(
        "base image registry.example/{}:1",
        "a-long-name/".repeat(12)
    );
    let kinds = [
        Kind::StepStarted(StepStarted {
            step: image,
            description: "builds the image".into(),
        }),
        tell(&base, "fetching", false),
        Kind::Warning(Warning {
            message: "said above the rows".into(),
        }),
        tell("exporting to image", "exporting layers", false),
        tell(&base, "fetching", true),
    ];
    let mut events = story(WorkspaceState::Ready);
    let last = events.pop().expect("an end");
    events.extend(kinds.map(|kind| Event {
        attempt: 1,
        kind: Some(kind),
        ..Event::default()
    }));
    events.push(last);
    for (sequence, event) in (1..).zip(&mut events) {
        event.sequence = sequence;
    }
    for columns in [80, 120] {
        let pending = prepared(workspace(WorkspaceState::Pending, 0), &events);
        let ready = workspace(WorkspaceState::Ready, events.len() as u64);
        let plane = ControlPlane::start([
            Answer::Prepare(pending, End::Well),
            Answer::Get(Box::new(ready)),
        ])
        .await;
        let command = plane.hearth(&["up", REPOSITORY]);
        let (ended, shown) = run_on_a_terminal("xterm", columns, command).await;
        assert_eq!(ended.code, Some(0), "{shown}");
        let plain = console::strip_ansi_codes(&shown).into_owned();
        assert!(plain.contains("name/:1: fetching ━"), "{plain}");
        let left = screen(&shown, columns.into());
        let left: Vec<_> = left.iter().map(|row| row.trim_end()).collect();
        let left: Vec<_> = left.into_iter().filter(|row| !row.is_empty()).collect();
        assert_eq!(
            left,
            [
                "workspace sample-1 on node-1: PENDING",
                "warning: said above the rows"
            ]
        );
    }
}

#[tokio::test]
async fn no_color_is_respected() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let mut command = plane.hearth(&["up", REPOSITORY]);
    command.env("NO_COLOR", "1");
    let (_, shown) = run_on_a_terminal("xterm", 100, command).await;
    assert!(shown.contains("✓ clone     1.2 s"), "{shown:?}");
    assert!(!shown.contains("\u{1b}[3"), "{shown:?}");
}

#[tokio::test]
async fn a_dumb_terminal_gets_plain_lines() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let (ended, shown) = run_on_a_terminal("dumb", 100, plane.hearth(&["up", REPOSITORY])).await;
    assert_eq!(ended.code, Some(0), "{shown}");
    assert!(shown.contains("[   2.0s] clone done (1.2 s)"), "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}
