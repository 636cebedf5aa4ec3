use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use serde::Deserialize;

use super::{
    api::{
        BuildRequest, CliWorkspace, ComposeProject, Devcontainer, HooksRequest, PlainBuild,
        Started, UpFrom, UpRequest,
    },
    compose, features,
    log::{LogLines, Printed},
    on_node::{self, NodeRequest},
    plain,
};
use crate::{
    credential_helper::SOCKET_VARIABLE,
    devcontainer::CACHE_MOUNTS,
    external::{
        engine::{WORKSPACE_LABEL, volume_name},
        process::{Ended, OnLine, Process, ProcessFailure, Running, error_line},
        sandbox::Sandbox,
    },
    scratch,
};

/// The variable by which buildx and Compose find the policy of what a build may take.
const SOURCE_POLICY_VARIABLE: &str = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";

/// The `devcontainer` command (`@devcontainers/cli`).
#[derive(Clone, Debug)]
pub struct DevcontainerCli {
    sandbox: Sandbox,
    program: OsString,
}

/// What the CLI prints on stdout: one line of JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Outcome {
    outcome: String,
    message: String,
    description: String,
    container_id: String,
    remote_user: String,
    remote_workspace_folder: String,
}

impl Outcome {
    /// What failed. Of a command that failed the CLI says only how it was called: the last line of its output that is an
    /// error takes that place.
    fn error(&self, tail: &str) -> String {
        // Behind everything else the CLI prints what it says here, too.
        let own = format!("Error: {}", self.message);
        let before = tail.split_once(&own).filter(|_| !self.message.is_empty());
        let tail = before.map_or(tail, |(before, _)| before);
        let description = self.description.trim_end_matches('.');
        let says_nothing = ["Command failed: ", "Exit code "]
            .iter()
            .any(|start| self.message.starts_with(start));
        let message = if says_nothing {
            cause(tail).unwrap_or("a command failed")
        } else if self.message.is_empty() || self.message == self.description {
            cause(tail).unwrap_or_default()
        } else {
            self.message.trim_end_matches('.')
        };
        if description.is_empty() || description == message {
            message.to_owned()
        } else if message.is_empty() {
            description.to_owned()
        } else {
            format!("{description}: {message}")
        }
    }
}

/// The line of a command's output that says why it failed.
fn cause(tail: &str) -> Option<&str> {
    // The CLI repeats its command, of several lines, at the end.
    let output = tail.split_once("Error: Command failed: ");
    let output = output.map_or(tail, |(output, _)| output);
    let lines = || {
        let lines = output.lines().map(str::trim);
        let lines = lines.map(|line| line.strip_prefix("docker: ").unwrap_or(line));
        // BuildKit's progress is JSON, and docker's hint is no error.
        lines.filter(|line| {
            !line.is_empty() && !line.starts_with(['{', '@']) && !line.ends_with("--help'.")
        })
    };
    lines().find_map(error_line).or_else(|| lines().next_back())
}

impl DevcontainerCli {
    /// The program `program`, working on the engine through the attempt's door.
    pub fn new(sandbox: Sandbox, program: OsString) -> Self {
        Self { sandbox, program }
    }

    fn command(&self, verb: &str, workspace: &CliWorkspace<'_>) -> Process {
        self.process(&self.program, workspace)
            .args([verb, "--log-format", "json", "--workspace-folder"])
            .args([workspace.folder])
            .args(["--config"])
            .args([workspace.config])
    }

    fn process(&self, program: impl AsRef<OsStr>, workspace: &CliWorkspace<'_>) -> Process {
        Process::new(&self.sandbox, program)
            .dir(workspace.folder)
            .reads(workspace.folder)
            // Everything that the CLI and docker write goes to the attempt's folder: it is removed with the attempt, and
            // attempts do not share it.
            .writes(workspace.scratch)
            .env("HOME", workspace.scratch.join(scratch::HOME))
            .env("TMPDIR", workspace.scratch.join(scratch::TMP))
            .env(
                "DOCKER_CONFIG",
                workspace.scratch.join(scratch::DOCKER_CONFIG),
            )
            // Docker's configuration names the credential helper, which connects to the attempt's socket.
            .env("PATH", helpers_first(workspace.scratch))
            .env(SOCKET_VARIABLE, workspace.scratch.join(scratch::SOCKET))
            .env("DOCKER_HOST", engine_socket(workspace.scratch))
            .env("DOCKER_BUILDKIT", "1")
            .env("BUILDKIT_PROGRESS", "rawjson")
            // Attestations carry times and differ on every machine; for them buildx would run git in the clone.
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .env("BUILDX_GIT_INFO", "false")
            // buildx and Compose send it to BuildKit with each build, and do not build if it is not there.
            .env(
                SOURCE_POLICY_VARIABLE,
                workspace.scratch.join(scratch::SOURCE_POLICY),
            )
            .env("COMPOSE_PROJECT_NAME", volume_name(workspace.workspace_id))
    }

    fn labelled(&self, verb: &str, workspace: &CliWorkspace<'_>) -> Process {
        let label = format!("{WORKSPACE_LABEL}={}", workspace.workspace_id);
        self.command(verb, workspace)
            .args(["--id-label", label.as_str()])
    }
}

impl DevcontainerCli {
    /// Builds by docker alone.
    async fn build_plainly(
        &self,
        request: &BuildRequest<'_>,
        build: &PlainBuild,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        let command = self
            .process("docker", &request.workspace)
            .reads(request.sources)
            .env(CACHE_MOUNTS, request.cache_mounts)
            .args(plain::words(request, build));
        command.run(on_line).await.map(|_| ())
    }
}

#[async_trait]
impl Devcontainer for DevcontainerCli {
    async fn version(&self) -> Result<String, ProcessFailure> {
        let text = Process::new(&self.sandbox, &self.program)
            .args(["--version"])
            .run(&mut |_| {})
            .await?;
        Ok(text.trim().to_owned())
    }

    async fn run_on_node(
        &self,
        request: &NodeRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        on_node::run(&self.sandbox, request, on_line).await
    }

    async fn build(
        &self,
        request: &BuildRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        if let Some(plain) = request.plain {
            return self.build_plainly(request, plain, on_line).await;
        }
        let docker = write_docker(request.workspace.scratch)
            .map_err(|error| ProcessFailure::new(format!("docker cannot be prepared: {error}")))?;
        let mut command = self
            .command("build", &request.workspace)
            .reads(request.sources)
            .env(CACHE_MOUNTS, request.cache_mounts)
            .args(["--docker-path"])
            .args([docker])
            .args(["--image-name", request.image_name]);
        let options = [
            ("--cache-from", request.cache_from),
            ("--cache-to", request.cache_to),
            ("--output", request.output),
        ];
        for (name, value) in options {
            if let Some(value) = value {
                command = command.args([name, value]);
            }
        }
        if request.no_cache {
            command = command.args(["--no-cache"]);
        }
        run(command, on_line).await.map(|_| ())
    }

    async fn up(
        &self,
        request: UpRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<Started, ProcessFailure> {
        let UpRequest {
            workspace,
            from,
            configuration,
        } = request;
        let mut command = self
            .labelled("up", &workspace)
            .args([
                "--update-remote-user-uid-default",
                "never",
                "--remove-existing-container",
                "--no-lockfile",
                "--skip-post-create",
                "--override-config",
                "/dev/stdin",
            ])
            .with_input();
        if from == UpFrom::Image {
            let tmp = features::none_withdrawn(workspace.scratch).map_err(|error| {
                ProcessFailure::new(format!("the devcontainer CLI cannot be prepared: {error}"))
            })?;
            // Nothing is built: it need not ask which BuildKit there is.
            command = command.args(["--buildkit", "never"]).env("TMPDIR", tmp);
        }
        let mut command = command.start()?;
        let Ok(configuration) = configuration.await else {
            return Err(ProcessFailure::new("nothing is to be started any more"));
        };
        let given = command.give(configuration);
        let (outcome, ()) = tokio::join!(outcome(command, LogLines::new(on_line)), given);
        let outcome = outcome?;
        Ok(Started {
            container_id: outcome.container_id,
            remote_user: outcome.remote_user,
            remote_folder: outcome.remote_workspace_folder,
        })
    }

    async fn compose_project(
        &self,
        workspace: &CliWorkspace<'_>,
        files: &[PathBuf],
        with_active: bool,
    ) -> Result<ComposeProject, ProcessFailure> {
        let docker = || self.process("docker", workspace);
        compose::project(docker, workspace.scratch, files, with_active).await
    }

    async fn run_hooks(
        &self,
        request: &HooksRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        let mut command = self
            .labelled("run-user-commands", &request.workspace)
            .args(["--override-config"])
            .args([request.hookless_config])
            .args(["--container-id", request.container_id])
            .args(["--skip-post-attach"]);
        if request.blocking_only {
            command = command.args(["--skip-non-blocking-commands"]);
        }
        if let Some(file) = request.stand_ins {
            command = command.args(["--secrets-file"]).args([file]);
        }
        if let Some(folder) = request.marks {
            command = command.args(["--container-data-folder", folder]);
        }
        let output = LogLines::new(on_line).masked(request.mask.clone());
        outcome(command.start()?, output).await.map(|_| ())
    }
}

/// Runs the CLI.
async fn run(command: Process, on_line: OnLine<'_>) -> Result<Outcome, ProcessFailure> {
    outcome(command.start()?, LogLines::new(on_line)).await
}

/// Passes the output in the CLI's log on as lines, and reads its result.
async fn outcome(command: Running, mut output: LogLines<'_>) -> Result<Outcome, ProcessFailure> {
    let (success, stdout, _) = command.end(&mut |line| output.take(line)).await?;
    let Printed { tail, crash } = output.finish();
    let outcome: Option<Outcome> = stdout
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok());
    match (success, outcome) {
        (Ok(()), Some(outcome)) if outcome.outcome == "success" => Ok(outcome),
        (Err(Ended::Exceeded(message)), _) => Err(ProcessFailure { message, tail }),
        (_, Some(outcome)) if !outcome.message.is_empty() || !outcome.description.is_empty() => {
            let message = outcome.error(&tail);
            Err(ProcessFailure { message, tail })
        }
        (Err(Ended::Status(ended)), _) => Err(ProcessFailure {
            message: crash.map_or(ended, |error| crashed(&error)),
            tail,
        }),
        (Ok(()), _) => Err(ProcessFailure {
            message: "the devcontainer CLI ended without a result".to_owned(),
            tail,
        }),
    }
}

/// What is told of a crash of the CLI.
fn crashed(error: &str) -> String {
    if error.contains("Invalid string length") {
        return "the devcontainer CLI cannot hold all that the command printed: let it print less than 500 MB, for example \
                into a file"
            .to_owned();
    }
    format!("the devcontainer CLI ended by an error of its own: {error}")
}

/// Writes a docker that adds [`CACHE_MOUNTS`] from the environment to builds, which the CLI itself has no option for.
fn write_docker(scratch: &Path) -> std::io::Result<PathBuf> {
    let path = scratch.join("docker-for-builds");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = 'buildx build' ] || exec docker \"$@\"\n\
         shift 2\nexec docker buildx build --build-arg {CACHE_MOUNTS} \"$@\"\n"
    );
    hearth_runtime::write_atomically(&path, script.as_bytes(), 0o700)?;
    Ok(path)
}

/// The attempt's door, as docker takes it.
fn engine_socket(scratch: &Path) -> OsString {
    let mut url = OsString::from("unix://");
    url.push(scratch.join(scratch::ENGINE_SOCKET));
    url
}

fn helpers_first(folder: &Path) -> OsString {
    let mut path = folder.join(scratch::HELPERS).into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
