use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::Command,
};

/// How programs are found, and how the outside is reached. Nothing else of the agent's environment concerns a command.
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
/// A command that printed and then nothing for this long is quiet.
const QUIET: Duration = Duration::from_millis(200);
/// Longest line that is kept whole; the rest of a longer one is dropped.
const MAX_LINE: usize = 2 * 1024 * 1024;
/// Most that a command's result (its stdout) may have.
const MAX_STDOUT: u64 = 1024 * 1024;
/// What is told of a failing command's output.
const MAX_TAIL: usize = 8 * 1024;

/// What comes from a command's stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without its newline.
    Text(&'a str),
    /// Nothing more for the moment: a good time to pass on what was collected.
    Quiet,
}

/// A command did not do what it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChildFailure {
    /// One sentence.
    pub message: String,
    /// The last lines that it printed.
    pub tail: String,
}

impl ChildFailure {
    /// A failure before the command printed anything.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            tail: String::new(),
        }
    }
}

/// A command in a process group and a PID namespace of its own: when it is dropped, or the agent dies by whatever
/// cause, the kernel kills it with everything it started, however deep.
pub(super) struct Child {
    name: String,
    command: Command,
}

impl Child {
    /// Prepares `program` with an environment that holds of the agent's only what [`PASSED_ON`] names.
    pub(super) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(["unshare", "--pid", "--fork", "--kill-child=KILL", "--"])
            .arg(program)
            .env_clear()
            .envs(
                PASSED_ON
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Self {
            name: Path::new(program)
                .file_name()
                .unwrap_or(program)
                .to_string_lossy()
                .into_owned(),
            command,
        }
    }

    pub(super) fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command.args(args);
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    pub(super) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it and returns its stdout, or a failure with the last lines of its stderr.
    pub(super) async fn run(
        self,
        on_line: &mut (dyn FnMut(Line<'_>) + Send),
    ) -> Result<String, ChildFailure> {
        let (success, stdout, tail) = self.run_to_end(on_line).await?;
        match success {
            Ok(()) => Ok(stdout),
            Err(message) => Err(ChildFailure { message, tail }),
        }
    }

    /// Runs it and returns how it ended, its stdout, and the last lines of its stderr.
    pub(super) async fn run_to_end(
        mut self,
        on_line: &mut (dyn FnMut(Line<'_>) + Send),
    ) -> Result<(Result<(), String>, String, String), ChildFailure> {
        let name = self.name;
        let mut child = self
            .command
            .spawn()
            .map_err(|error| ChildFailure::new(format!("{name} cannot be started: {error}")))?;
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
            ChildFailure::new(format!("the output of {name} cannot be read: {error}"))
        })?;
        let status = child
            .wait()
            .await
            .map_err(|error| ChildFailure::new(format!("{name} was lost: {error}")))?;
        let success = if status.success() {
            Ok(())
        } else {
            Err(format!("{name} ended with {status}"))
        };
        Ok((success, text, tail.into_text()))
    }
}

/// Calls back for every line, with bounded memory whatever comes.
async fn for_each_line(
    reader: impl AsyncRead + Unpin,
    mut on_line: impl FnMut(Line<'_>),
) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    let mut line = Vec::new();
    let mut quiet = true;
    loop {
        let room = (MAX_LINE - line.len()) as u64;
        let mut limited = (&mut reader).take(room);
        let read = limited.read_until(b'\n', &mut line);
        // What was read of a line before the time is over stays in `line`.
        let ended = match tokio::time::timeout(QUIET, read).await {
            Ok(read) => read? == 0,
            Err(_) => {
                if !quiet {
                    on_line(Line::Quiet);
                    quiet = true;
                }
                continue;
            }
        };
        if !line.is_empty() {
            let text = String::from_utf8_lossy(&line);
            on_line(Line::Text(text.trim_end_matches(['\n', '\r'])));
            quiet = false;
            line.clear();
        }
        if ended {
            return Ok(());
        }
    }
}

/// The last lines of an output.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn push(&mut self, line: &str) {
        let mut end = line.len().min(MAX_TAIL / 4);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes += end + 1;
        self.lines.push_back(line[..end].to_owned());
        while self.bytes > MAX_TAIL {
            let Some(first) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= first.len() + 1;
        }
    }

    pub(crate) fn into_text(self) -> String {
        Vec::from(self.lines).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_one_by_one_and_the_result_is_stdout() {
        let mut lines = Vec::new();
        let result = Child::new("sh")
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
        let failure = Child::new("sh")
            .args(["-c", "seq 10000 >&2; exit 3"])
            .run(&mut |_| {})
            .await
            .unwrap_err();
        assert!(failure.message.contains("sh ended with exit status: 3"));
        assert!(failure.tail.ends_with("9999\n10000"));
        assert!(failure.tail.len() <= MAX_TAIL);
    }

    #[tokio::test]
    async fn the_agents_environment_does_not_leak() {
        let text = Child::new("env").run(&mut |_| {}).await.unwrap();
        for line in text.lines() {
            let name = line.split('=').next().unwrap_or_default();
            assert!(name == "LC_ALL" || PASSED_ON.contains(&name), "{line}");
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
        let child = Child::new("sh").args(["-c", &script]);
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
