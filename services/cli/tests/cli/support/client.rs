//! The client under test: the real binary.

use std::{process::Stdio, time::Duration};

use tokio::process::{Child, Command};

/// Far more than any test takes; a hanging client fails instead of blocking.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The client, without the environment of the tests.
pub fn hearth(control_plane: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command
        .args(arguments)
        .env_clear()
        .env("HEARTH_CONTROL_PLANE", control_plane)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A client that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub async fn run(mut command: Command) -> Ended {
    ended(command.spawn().expect("the client")).await
}

pub async fn ended(child: Child) -> Ended {
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .expect("the client ends")
        .expect("its output");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}
