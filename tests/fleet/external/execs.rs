//! Commands in the containers of the stand-in's engine: `cat` returns its input, `yes` never ends, `sleep` neither says
//! anything nor ends, and `exit N` ends. A signal ends each.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use hearth_agent::external::engine::{
    Command, EngineFailure, Exec, ExecState, Execs, Output, RunningContainer, Signal, TerminalSize,
    WORKSPACE_LABEL,
};
use tokio::{io::AsyncReadExt as _, sync::watch};

use super::{FakeEngine, lock};

const CHUNK: usize = 16 * 1024;

/// The commands of an engine by their numbers.
#[derive(Default)]
pub(super) struct Commands(Mutex<BTreeMap<String, Arc<Running>>>);

struct Running {
    code: i32,
    signals: Mutex<Vec<Signal>>,
    ended: watch::Sender<bool>,
}

impl Commands {
    fn running(&self, exec: &str) -> Arc<Running> {
        lock(&self.0)[exec].clone()
    }

    /// What all commands were sent, in the order in which they were started.
    pub(super) fn signals(&self) -> Vec<Vec<Signal>> {
        let commands = lock(&self.0);
        let signals = commands
            .values()
            .map(|running| lock(&running.signals).clone());
        signals.collect()
    }
}

#[async_trait]
impl Execs for FakeEngine {
    async fn container(&self, container: &str) -> Result<Option<RunningContainer>, EngineFailure> {
        let workspace = container.strip_prefix("container-of-").unwrap_or_default();
        Ok(self.runs(workspace).then(|| RunningContainer {
            id: container.to_owned(),
            is_running: true,
            // Nothing is asked of a shell.
            labels: HashMap::from([
                (WORKSPACE_LABEL.to_owned(), workspace.to_owned()),
                (
                    "devcontainer.metadata".to_owned(),
                    r#"{"userEnvProbe":"none"}"#.to_owned(),
                ),
            ]),
            ..RunningContainer::default()
        }))
    }

    async fn exec(&self, _: &str, command: &Command) -> Result<Exec, EngineFailure> {
        let code = match &command.arguments[..] {
            [name, code] if name == "exit" => code.parse().expect("a code"),
            _ => 0,
        };
        let running = Arc::new(Running {
            code,
            signals: Mutex::default(),
            ended: watch::Sender::new(false),
        });
        let id = {
            let mut commands = lock(&self.commands().0);
            let id = format!("{:04}", commands.len());
            commands.insert(id.clone(), running.clone());
            id
        };
        let (reader, input) = tokio::io::simplex(CHUNK);
        let mut ended = running.ended.subscribe();
        let name = command.arguments[0].clone();
        let output = stream::unfold((reader, running), move |(mut reader, running)| {
            let name = name.clone();
            async move {
                let mut chunk = vec![b'y'; CHUNK];
                let read = match name.as_str() {
                    "cat" => reader.read(&mut chunk).await.expect("input"),
                    "yes" => CHUNK,
                    "exit" => 0,
                    _ => std::future::pending().await,
                };
                if read == 0 {
                    running.ended.send_replace(true);
                    return None;
                }
                chunk.truncate(read);
                Some((Ok(Output::Stdout(chunk.into())), (reader, running)))
            }
        });
        let output = output.take_until(async move {
            let _ = ended.wait_for(|ended| *ended).await;
        });
        Ok(Exec {
            id,
            input: Box::pin(input),
            output: output.boxed(),
        })
    }

    async fn resize(&self, _: &str, _: TerminalSize) -> Result<(), EngineFailure> {
        Ok(())
    }

    async fn state(&self, exec: &str) -> Result<ExecState, EngineFailure> {
        let running = self.commands().running(exec);
        let has_ended = *running.ended.borrow();
        Ok(ExecState {
            is_running: !has_ended,
            exit_code: has_ended.then_some(running.code),
        })
    }

    async fn signal(&self, exec: &str, signal: Signal) -> Result<(), EngineFailure> {
        let running = self.commands().running(exec);
        lock(&running.signals).push(signal);
        running.ended.send_replace(true);
        Ok(())
    }

    async fn place(&self, _: &str, _: &str, _: &'static [u8]) -> Result<(), EngineFailure> {
        Ok(())
    }
}
