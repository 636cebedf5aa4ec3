//! Commands in a sandbox, and the lines that they print.

mod error_line;
mod lines;

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{io::AsyncReadExt as _, process::Command};

use super::sandbox::{Sandbox, SandboxError, View, find_program};
use error_line::last_line;
use lines::for_each_line;

pub(crate) use error_line::error_line;
pub use lines::{Line, OnLine};
pub(crate) use lines::{Lines, Tail};

/// The only variables of the agent's environment that a command gets: how programs are found, and how the network is
/// reached.
const PASSED_ON: [&str; 10] = [
    "PATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];
/// Most of a command's stdout that is read, in bytes.
const MAX_STDOUT: u64 = 1024 * 1024;

/// A command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProcessFailure {
    /// What failed, in a sentence: the error that the command tells, where it tells one.
    pub message: String,
    /// The last lines that it printed, up to 8 KiB.
    pub tail: String,
}

impl ProcessFailure {
    /// The failure as users can read it: paths in `folders` of the node, of which they know none, begin there.
    pub fn without_folders(mut self, folders: &[&Path]) -> Self {
        for folder in folders {
            let folder = format!("{}/", folder.display());
            for text in [&mut self.message, &mut self.tail] {
                *text = text.replace(&folder, "");
            }
        }
        self
    }

    /// A failure without output.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            tail: String::new(),
        }
    }
}

/// A command in a [sandbox](Sandbox), which sees the system, programs, and what it is given. When it is dropped, or the
/// agent dies for any reason, the kernel kills it together with everything that it started; nothing of it is left when it
/// has ended.
pub(super) struct Process {
    sandbox: Sandbox,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    view: View,
}

impl Process {
    /// Prepares `program`, which gets only [`PASSED_ON`] of the agent's environment.
    pub(super) fn new(sandbox: &Sandbox, program: impl AsRef<OsStr>) -> Self {
        let passed_on = PASSED_ON
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        Self {
            sandbox: sandbox.clone(),
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: passed_on.collect(),
            folder: None,
            view: View::default(),
        }
        .env("LC_ALL", "C.UTF-8")
    }

    pub(super) fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs in this folder, which has to be one that the command sees.
    pub(super) fn dir(mut self, dir: &Path) -> Self {
        self.folder = Some(dir.to_owned());
        self
    }

    /// Shows a file or a folder.
    pub(super) fn reads(mut self, path: &Path) -> Self {
        self.view.reads.push(path.to_owned());
        self
    }

    /// Shows a file or a folder that the command may write.
    pub(super) fn writes(mut self, path: &Path) -> Self {
        self.view.writes.push(path.to_owned());
        self
    }

    /// Shows `file` in place of a file of the system.
    pub(super) fn replaces(mut self, place: &str, file: &Path) -> Self {
        self.view.replaced.push((file.to_owned(), place.into()));
        self
    }

    /// Runs as the user with this number and without capabilities, in a group of the same number.
    pub(super) fn run_as(mut self, user: u32) -> Self {
        self.view.user = Some(user);
        self
    }

    fn name(&self) -> String {
        let program = Path::new(&self.program);
        let name = program.file_name().unwrap_or(&self.program);
        name.to_string_lossy().into_owned()
    }

    fn command(&self) -> Result<Command, String> {
        let path = self.env.iter().rev().find(|(name, _)| name == "PATH");
        let path = path.map(|(_, path)| path.clone()).unwrap_or_default();
        let program = find_program(&self.program, &path)
            .ok_or("there is no such program on the agent's PATH")?;
        let folder = self.folder.as_deref();
        let words = self
            .sandbox
            .command(&program, &self.args, folder, &self.view)
            .words;
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs the command. Returns its stdout, or a failure with the last lines of its stderr.
    pub(super) async fn run(self, on_line: OnLine<'_>) -> Result<String, ProcessFailure> {
        let (success, stdout, tail) = self.run_to_end(on_line).await?;
        match success {
            Ok(()) => Ok(stdout),
            Err(ended) => Err(ProcessFailure {
                message: match (error_line(&tail), last_line(&tail)) {
                    (Some(error), _) => error.to_owned(),
                    (None, Some(line)) => format!("{ended}: {line}"),
                    (None, None) => ended,
                },
                tail,
            }),
        }
    }

    /// Runs the command. Returns how it ended, its stdout, and the last lines of its stderr.
    pub(super) async fn run_to_end(
        self,
        on_line: OnLine<'_>,
    ) -> Result<(Result<(), String>, String, String), ProcessFailure> {
        let name = self.name();
        let mut child = self
            .command()
            .and_then(|mut command| command.spawn().map_err(|error| error.to_string()))
            .map_err(|error| ProcessFailure::new(format!("{name} cannot be started: {error}")))?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let mut tail = Tail::default();
        let read_stdout = async {
            let mut text = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(MAX_STDOUT).read_to_end(&mut text).await?;
            }
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&text).into_owned())
        };
        let read_stderr = async {
            if let Some(stderr) = stderr {
                for_each_line(stderr, |line| {
                    if let Line::Text(text) = line {
                        tail.push(text);
                    }
                    on_line(line);
                })
                .await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let (text, _) = tokio::try_join!(read_stdout, read_stderr).map_err(|error| {
            ProcessFailure::new(format!("the output of {name} cannot be read: {error}"))
        })?;
        let status = child.wait().await.map_err(|error| {
            ProcessFailure::new(format!("the end of {name} is not known: {error}"))
        })?;
        let success = if status.success() {
            Ok(())
        } else {
            Err(format!("{name} ended with {status}"))
        };
        Ok((success, text, tail.text()))
    }
}

/// Makes sure that commands can be run.
pub async fn check(sandbox: &Sandbox) -> Result<(), SandboxError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if find_program("bwrap".as_ref(), &path).is_none() {
        return Err(SandboxError::Missing);
    }
    let ran = Process::new(sandbox, "true").run(&mut |_| {}).await;
    ran.map(|_| ())
        .map_err(|failure| SandboxError::Broken(failure.message))
}

#[cfg(test)]
mod tests {
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
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod sandbox_tests;
