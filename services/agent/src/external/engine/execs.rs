use std::{collections::HashMap, pin::Pin};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::io::AsyncWrite;

use super::api::EngineFailure;

/// Commands in containers.
#[async_trait]
pub trait Execs: Send + Sync {
    /// A container. `None` if there is none.
    async fn container(&self, container: &str) -> Result<Option<RunningContainer>, EngineFailure>;
    /// Starts a command. Dropping what is returned ends its input, and it goes on.
    async fn exec(&self, container: &str, command: &Command) -> Result<Exec, EngineFailure>;
    /// Gives the terminal of a command another size.
    async fn resize(&self, exec: &str, size: TerminalSize) -> Result<(), EngineFailure>;
    /// How a command is.
    async fn state(&self, exec: &str) -> Result<ExecState, EngineFailure>;
    /// Sends a signal to the process group of a command, if it still runs.
    async fn signal(&self, exec: &str, signal: Signal) -> Result<(), EngineFailure>;
    /// Writes a program that all users of the container may run, with its folder, if it is not there.
    async fn place(
        &self,
        container: &str,
        path: &str,
        program: &'static [u8],
    ) -> Result<(), EngineFailure>;
}

/// What is known of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningContainer {
    /// Its whole id.
    pub id: String,
    /// Whether commands can be run in it.
    pub is_running: bool,
    /// When it was started last, as the engine says it.
    pub started: String,
    /// Its labels, and those of its image.
    pub labels: HashMap<String, String>,
    /// Its environment, as `NAME=value`.
    pub environment: Vec<String>,
    /// Where something is mounted in it.
    pub mounts: Vec<String>,
    /// Its network, as the engine names it: `host` is the node's, `container:ID` another container's.
    pub network: String,
}

/// A command in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// Its user, with a group after `:` or not.
    pub user: String,
    /// The folder that it runs in. `None`: the container's.
    pub folder: Option<String>,
    /// Variables in addition to the container's, as `NAME=value`.
    pub environment: Vec<String>,
    /// Its terminal, if it has one.
    pub terminal: Option<TerminalSize>,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// In a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// A command that was started.
pub struct Exec {
    /// The engine's name of it.
    pub id: String,
    /// Its input. Shutting it down is the end of the input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its output, until it is closed.
    pub output: BoxStream<'static, Result<Output, EngineFailure>>,
}

/// A piece of output, of a few KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Of stdout, or of a terminal.
    Stdout(Bytes),
    /// Of stderr.
    Stderr(Bytes),
}

/// How a command is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecState {
    /// Whether it runs.
    pub is_running: bool,
    /// Its exit code, when it has ended.
    pub exit_code: Option<i32>,
}

/// Signals that a command can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of signal(7)")]
pub enum Signal {
    Abrt,
    Alrm,
    Cont,
    Hup,
    Int,
    Kill,
    Quit,
    Stop,
    Term,
    Tstp,
    Usr1,
    Usr2,
    Winch,
}

/// A name that is none of a signal that can be sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not HUP, INT, QUIT, KILL, USR1, USR2, TERM, CONT, STOP, TSTP, WINCH, ABRT or ALRM")]
pub struct NoSignal;

impl std::str::FromStr for Signal {
    type Err = NoSignal;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "ABRT" => Self::Abrt,
            "ALRM" => Self::Alrm,
            "CONT" => Self::Cont,
            "HUP" => Self::Hup,
            "INT" => Self::Int,
            "KILL" => Self::Kill,
            "QUIT" => Self::Quit,
            "STOP" => Self::Stop,
            "TERM" => Self::Term,
            "TSTP" => Self::Tstp,
            "USR1" => Self::Usr1,
            "USR2" => Self::Usr2,
            "WINCH" => Self::Winch,
            _ => return Err(NoSignal),
        })
    }
}
