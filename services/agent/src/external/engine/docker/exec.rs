//! Commands in containers, by Docker's API. The connection of a command is made here and not by the client library, which
//! waits for whole pieces of output, and takes what a terminal prints for their headers.

use std::{io, path::Path, time::Duration};

use async_trait::async_trait;
use bollard::{
    exec::CreateExecOptions,
    models::ContainerInspectResponse,
    query_parameters::{
        InspectContainerOptions, ResizeExecOptionsBuilder, UploadToContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, PidfdFlags, kill_process_group, pidfd_open};
use tokio::{net::UnixStream, time::timeout};

use super::{DockerEngine, error::is_absent, exec_output::Pieces};
use crate::external::engine::{
    api::EngineFailure,
    execs::{Command, Exec, ExecState, Execs, RunningContainer, Signal, TerminalSize},
};

/// How long Docker may take to start a command.
const START: Duration = Duration::from_secs(60);
/// Bytes of an answer that says why there is no command.
const MAX_REFUSAL: usize = 64 * 1024;

#[async_trait]
impl Execs for DockerEngine {
    async fn container(&self, container: &str) -> Result<Option<RunningContainer>, EngineFailure> {
        let inspected = self
            .docker
            .inspect_container(container, None::<InspectContainerOptions>)
            .await;
        match inspected {
            Ok(inspected) => Ok(Some(running(inspected))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("look at the container")(error)),
        }
    }

    async fn exec(&self, container: &str, command: &Command) -> Result<Exec, EngineFailure> {
        const ACTION: &str = "start a command";
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(command.terminal.is_some()),
            env: Some(command.environment.clone()),
            cmd: Some(command.arguments.clone()),
            user: Some(command.user.clone()),
            working_dir: command.folder.clone(),
            ..CreateExecOptions::default()
        };
        let created = self.docker.create_exec(container, options).await;
        let id = created.map_err(self.failed(ACTION))?.id;
        let started = timeout(START, start(&self.socket, &id, command.terminal.is_some())).await;
        let connection = started
            .unwrap_or_else(|_| Err(format!("no answer within {} seconds", START.as_secs())))
            .map_err(|cause| EngineFailure {
                action: ACTION,
                cause,
            })?;
        let (reader, writer) = tokio::io::split(TokioIo::new(connection));
        let pieces = Pieces::new(reader, command.terminal.is_some());
        let output = stream::unfold(Some(pieces), |pieces| async move {
            let mut pieces = pieces?;
            match pieces.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(pieces))),
                Ok(None) => None,
                Err(error) => {
                    let failure = EngineFailure {
                        action: "pass on a command's output",
                        cause: error.to_string(),
                    };
                    Some((Err(failure), None))
                }
            }
        });
        if let Some(size) = command.terminal {
            // It is 0 by 0 before. A command that has ended has none.
            let _ = self.resize(&id, size).await;
        }
        Ok(Exec {
            id,
            input: Box::pin(writer),
            output: output.boxed(),
        })
    }

    async fn resize(&self, exec: &str, size: TerminalSize) -> Result<(), EngineFailure> {
        let options = ResizeExecOptionsBuilder::default()
            .h(size.rows.into())
            .w(size.columns.into())
            .build();
        let resized = self.docker.resize_exec(exec, options).await;
        resized.map_err(self.failed("resize a terminal"))
    }

    async fn state(&self, exec: &str) -> Result<ExecState, EngineFailure> {
        self.inspected(exec).await.map(|(state, _)| state)
    }

    async fn signal(&self, exec: &str, signal: Signal) -> Result<(), EngineFailure> {
        let failed = |error: rustix::io::Errno| EngineFailure {
            action: "signal a command",
            cause: error.to_string(),
        };
        let (state, Some(pid)) = self.inspected(exec).await? else {
            return Ok(());
        };
        if !state.is_running {
            return Ok(());
        }
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        // The process is the command's if that runs under this number after the process was taken hold of: the engine may
        // count processes in another namespace than the agent, and a number may have gone to another process meanwhile.
        let again = self.inspected(exec).await?;
        if !again.0.is_running || again.1 != Some(pid) {
            return Ok(());
        }
        if !is_of_a_container(pid) {
            return Err(EngineFailure {
                action: "signal a command",
                cause: "the agent does not see the processes of its engine: it has to run in the engine's PID namespace".into(),
            });
        }
        drop(process);
        match kill_process_group(pid, number(signal)) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => sent.map_err(failed),
        }
    }

    async fn place(
        &self,
        container: &str,
        path: &str,
        program: &'static [u8],
    ) -> Result<(), EngineFailure> {
        let archive = archive(Path::new(path), program).map_err(|error| EngineFailure {
            action: "place a program",
            cause: error.to_string(),
        })?;
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let archive = bollard::body_full(archive.into());
        let uploaded = self
            .docker
            .upload_to_container(container, Some(options), archive)
            .await;
        uploaded.map_err(self.failed("place a program in the container"))
    }
}

impl DockerEngine {
    async fn inspected(&self, exec: &str) -> Result<(ExecState, Option<Pid>), EngineFailure> {
        let inspected = self.docker.inspect_exec(exec).await;
        let inspected = inspected.map_err(self.failed("look at a command"))?;
        let is_running = inspected.running.unwrap_or_default();
        let exit_code = inspected.exit_code.filter(|_| !is_running);
        let pid = inspected.pid.and_then(|pid| i32::try_from(pid).ok());
        let state = ExecState {
            is_running,
            exit_code: exit_code.and_then(|code| i32::try_from(code).ok()),
        };
        Ok((state, pid.and_then(Pid::from_raw)))
    }
}

fn running(inspected: ContainerInspectResponse) -> RunningContainer {
    let state = inspected.state.unwrap_or_default();
    let config = inspected.config.unwrap_or_default();
    let mounts = inspected.mounts.unwrap_or_default().into_iter();
    let network = inspected.host_config.and_then(|host| host.network_mode);
    RunningContainer {
        id: inspected.id.unwrap_or_default(),
        is_running: state.running.unwrap_or_default() && !state.paused.unwrap_or_default(),
        started: state
            .started_at
            .map(|time| format!("{time:?}"))
            .unwrap_or_default(),
        labels: config.labels.unwrap_or_default(),
        environment: config.env.unwrap_or_default(),
        mounts: mounts.filter_map(|mount| mount.destination).collect(),
        network: network.unwrap_or_default(),
    }
}

/// Starts a command that was created, and takes the connection over.
async fn start(socket: &str, id: &str, terminal: bool) -> Result<Upgraded, String> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| format!("{socket}: {error}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
    let body = format!(r#"{{"Detach":false,"Tty":{terminal}}}"#);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/exec/{id}/start"))
        .header(header::HOST, "docker")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "tcp")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let asked = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return hyper::upgrade::on(response)
                .await
                .map_err(|error| error.to_string());
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_REFUSAL)
            .collect()
            .await;
        let text = body.map(|body| body.to_bytes()).unwrap_or_default();
        let told: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
        let message = told.and_then(|told| Some(told.get("message")?.as_str()?.to_owned()));
        Err(message.unwrap_or_else(|| status.to_string()))
    };
    // The connection only moves while it is waited for, and ends with the upgrade.
    let (upgraded, _) = tokio::join!(asked, connection.with_upgrades());
    upgraded
}

/// Whether a process can be one of a container: it is not in the agent's own control group, which containers never are in.
/// Where the agent counts processes otherwise than its engine, the number is nobody's or an arbitrary process's.
fn is_of_a_container(pid: Pid) -> bool {
    let cgroup = |of: &str| std::fs::read_to_string(format!("/proc/{of}/cgroup"));
    let its = cgroup(&pid.as_raw_nonzero().to_string());
    // What has no control group has ended.
    its.is_ok_and(|its| cgroup("self").is_ok_and(|own| own != its))
}

fn number(signal: Signal) -> rustix::process::Signal {
    use rustix::process::Signal as Number;
    match signal {
        Signal::Abrt => Number::ABORT,
        Signal::Alrm => Number::ALARM,
        Signal::Cont => Number::CONT,
        Signal::Hup => Number::HUP,
        Signal::Int => Number::INT,
        Signal::Kill => Number::KILL,
        Signal::Quit => Number::QUIT,
        Signal::Stop => Number::STOP,
        Signal::Term => Number::TERM,
        Signal::Tstp => Number::TSTP,
        Signal::Usr1 => Number::USR1,
        Signal::Usr2 => Number::USR2,
        Signal::Winch => Number::WINCH,
    }
}

/// An archive of a program and the folders that lead to it but the first, which every container has or gets.
fn archive(path: &Path, program: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    let path = path.strip_prefix("/").unwrap_or(path);
    if let Some(folder) = path.parent() {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        archive.append_data(&mut header, folder, io::empty())?;
    }
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(program.len() as u64);
    archive.append_data(&mut header, path, program)?;
    archive.into_inner()
}
