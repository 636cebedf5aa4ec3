//! The live display, on a terminal of its own.

use std::{fs::File, io::Read as _, process::Stdio};

use hearth_api::v1::WorkspaceState;
use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::process::Command;

use crate::{
    story::REPOSITORY,
    support::{ControlPlane, Ended, ended},
    up::smooth,
};

/// Runs a client whose stderr is a terminal, and returns what it wrote there, too.
async fn run_on_a_terminal(kind: &str, mut command: Command) -> (Ended, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).expect("a terminal");
    grantpt(&screen).expect("access");
    unlockpt(&screen).expect("access");
    let size = Winsize {
        ws_row: 40,
        ws_col: 100,
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
        run_on_a_terminal("xterm", plane.hearth(&["up", REPOSITORY, "--verbose"])).await;
    assert_eq!(ended.code, Some(0), "{shown}");
    assert!(shown.contains("✓ clone     1.2 s"), "{shown:?}");
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

#[tokio::test]
async fn a_dumb_terminal_gets_plain_lines() {
    let plane = ControlPlane::start(smooth(WorkspaceState::Ready)).await;
    let (ended, shown) = run_on_a_terminal("dumb", plane.hearth(&["up", REPOSITORY])).await;
    assert_eq!(ended.code, Some(0), "{shown}");
    assert!(shown.contains("[   2.0s] clone done (1.2 s)"), "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}
