use std::time::Duration;

use super::{lines::MAX_TAIL, *};

fn process(program: &str) -> Process {
    Process::new(&Sandbox::of_tests(), program)
}

#[test]
fn users_read_paths_in_their_repository() {
    let failure = ProcessFailure {
        message: "open /scratch/build/app/Dockerfile: no such file".to_owned(),
        tail: "stat /node/app/x and /node/apple/x".to_owned(),
    };
    let folders = ["/node/app", "/scratch/build/app", "/scratch"].map(Path::new);
    let failure = failure.without_folders(&folders);
    assert_eq!(failure.message, "open Dockerfile: no such file");
    assert_eq!(failure.tail, "stat x and /node/apple/x");
}

#[tokio::test]
async fn lines_come_one_by_one_and_the_result_is_stdout() {
    let mut lines = Vec::new();
    let result = process("sh")
        .args(["-c", "echo out; echo one >&2; printf two >&2"])
        .run(&mut |line| {
            if let Line::Text(text) = line {
                lines.push(text.to_owned());
            }
        })
        .await;
    assert_eq!(result.unwrap(), "out\n");
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn a_failing_command_tells_its_last_lines() {
    let failure = process("sh")
        .args(["-c", "seq 10000 >&2; exit 3"])
        .run(&mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(failure.message, "sh ended with exit status: 3: 10000");
    assert!(failure.tail.ends_with("9999\n10000"));
    assert!(failure.tail.len() <= MAX_TAIL);
}

#[tokio::test]
async fn the_error_that_a_command_tells_is_what_failed() {
    let failure = process("sh")
        .args([
            "-c",
            "printf '10%%\\r20%%\\rfatal: no\\nbye\\n' >&2; exit 3",
        ])
        .run(&mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(failure.message, "no");
    assert_eq!(failure.tail, "fatal: no\nbye");
}

#[tokio::test]
async fn the_agents_environment_does_not_leak() {
    let text = process("env").run(&mut |_| {}).await.unwrap();
    for line in text.lines() {
        let name = line.split('=').next().unwrap_or_default();
        assert!(
            ["LC_ALL", "PWD"].contains(&name) || PASSED_ON.contains(&name),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_dropped_command_takes_its_grandchildren_along() {
    let dir = tempfile::tempdir().unwrap();
    let beat = dir.path().join("beat");
    let script = format!(
        "setsid sh -c 'while :; do echo x >> {beat}; sleep 0.02; done' & wait",
        beat = beat.display()
    );
    let child = process("sh").args(["-c", &script]).writes(dir.path());
    let mut ignore = |_: Line<'_>| {};
    let run = child.run(&mut ignore);
    let started = async {
        while !beat.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = run => panic!("it ended by itself"),
        () = started => {}
    }
    // The kernel kills asynchronously: the file stops growing soon, and never grows again.
    let size = || {
        std::fs::metadata(&beat)
            .map(|m| m.len())
            .unwrap_or_default()
    };
    let mut last = size();
    let mut quiet = 0;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        quiet = if size() == last { quiet + 1 } else { 0 };
        last = size();
        if quiet == 10 {
            return;
        }
    }
    panic!("the grandchild still runs");
}
