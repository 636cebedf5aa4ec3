//! Commands in a sandbox, and the lines that they print.

mod descriptors;
mod error_line;
mod lines;

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
};

use super::sandbox::{Group, Network, Sandbox, SandboxError, View, find_program};
use lines::for_each_line;

pub(crate) use error_line::error_line;
pub(super) use error_line::last_line;
pub use lines::{Line, OnLine};
pub(crate) use lines::{Lines, MAX_LINE, Tail};

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
    group: Option<Arc<Group>>,
    has_input: bool,
}

/// A command that runs.
pub(super) struct Running {
    name: String,
    /// Has what the sandbox opens of the agent after the start.
    _process: Process,
    group: Option<Arc<Group>>,
    child: Child,
}

/// How a command ended that did not succeed, in a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Status(String),
    /// By the kernel, since it used more than it may. What its output says is not why.
    Exceeded(String),
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
            group: None,
            has_input: false,
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

    /// Writes no file of more bytes.
    pub(super) fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.view.max_file_bytes = Some(bytes);
        self
    }

    /// Reaches this network.
    pub(super) fn network(mut self, network: &Network) -> Self {
        self.view.network = network.clone();
        self
    }

    /// Runs within the limits of this group, and not of one of its own.
    pub(super) fn within(mut self, group: Option<Arc<Group>>) -> Self {
        self.group = group;
        self
    }

    /// Reads what [`Running::give`] gives to it from stdin, where there is nothing otherwise.
    pub(super) fn with_input(mut self) -> Self {
        self.has_input = true;
        self
    }

    fn name(&self) -> String {
        let program = Path::new(&self.program);
        let name = program.file_name().unwrap_or(&self.program);
        name.to_string_lossy().into_owned()
    }

    fn command(&self, group: Option<&Group>) -> Result<Command, String> {
        let path = self.env.iter().rev().find(|(name, _)| name == "PATH");
        let path = path.map(|(_, path)| path.clone()).unwrap_or_default();
        let program = find_program(&self.program, &path)
            .ok_or("there is no such program on the agent's PATH")?;
        let folder = self.folder.as_deref();
        let words = self
            .sandbox
            .command(&program, &self.args, folder, &self.view, group)
            .words;
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(if self.has_input {
                Stdio::piped()
            } else {
                Stdio::null()
            })
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
                message: match (ended, error_line(&tail), last_line(&tail)) {
                    (Ended::Exceeded(limit), ..) => limit,
                    (Ended::Status(_), Some(error), _) => error.to_owned(),
                    (Ended::Status(ended), None, Some(line)) => format!("{ended}: {line}"),
                    (Ended::Status(ended), None, None) => ended,
                },
                tail,
            }),
        }
    }

    /// Runs the command. Returns how it ended, its stdout, and the last lines of its stderr.
    pub(super) async fn run_to_end(
        self,
        on_line: OnLine<'_>,
    ) -> Result<(Result<(), Ended>, String, String), ProcessFailure> {
        self.start()?.end(on_line).await
    }

    /// Starts the command.
    pub(super) fn start(self) -> Result<Running, ProcessFailure> {
        let name = self.name();
        let group = match &self.group {
            Some(group) => Ok(Some(group.clone())),
            None => self.sandbox.group().map(|group| group.map(Arc::new)),
        };
        let started = group.map_err(|error| error.to_string()).and_then(|group| {
            let mut command = self.command(group.as_deref())?;
            let spawned = descriptors::keep_to_the_agent().and_then(|()| command.spawn());
            let child = spawned.map_err(|error| error.to_string())?;
            Ok((group, child))
        });
        let (group, child) = started
            .map_err(|error| ProcessFailure::new(format!("{name} cannot be started: {error}")))?;
        Ok(Running {
            name,
            _process: self,
            group,
            child,
        })
    }
}

impl Running {
    /// Gives `text` to a command [with input](Process::with_input), which takes it until its end. It may not want it all.
    pub(super) fn give(&mut self, text: String) -> impl Future<Output = ()> + use<> {
        let stdin = self.child.stdin.take();
        async move {
            if let Some(mut stdin) = stdin {
                // A command that ends early says itself what is wrong.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        }
    }

    /// Waits until the command has ended, and reads what it printed and prints. Returns how it ended, its stdout, and the
    /// last lines of its stderr.
    pub(super) async fn end(
        self,
        on_line: OnLine<'_>,
    ) -> Result<(Result<(), Ended>, String, String), ProcessFailure> {
        let Self {
            name,
            _process,
            group,
            mut child,
        } = self;
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
        let exceeded = || group.as_ref().and_then(|group| group.exceeded());
        let success = if status.success() {
            Ok(())
        } else if let Some(limit) = exceeded() {
            let what = format!("{name} was ended because it used more than {limit}");
            Err(Ended::Exceeded(what))
        } else {
            Err(Ended::Status(format!("{name} ended with {status}")))
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
#[path = "process_tests.rs"]
mod sandbox_tests;
#[cfg(test)]
mod tests;
