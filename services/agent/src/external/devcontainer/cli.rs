use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use serde::Deserialize;

use super::{
    api::{BuildRequest, CliWorkspace, Devcontainer, Started, UpRequest},
    log::LogLines,
};
use crate::{
    credential_helper::SOCKET_VARIABLE,
    external::{
        engine::{WORKSPACE_LABEL, volume_name},
        process::{OnLine, Process, ProcessFailure},
    },
    scratch,
};

/// The `devcontainer` command (`@devcontainers/cli`).
#[derive(Clone, Debug)]
pub struct DevcontainerCli {
    program: OsString,
    docker_host: String,
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

impl DevcontainerCli {
    /// The program `program`, working on the engine at `docker_host`.
    pub fn new(program: OsString, docker_host: String) -> Self {
        Self {
            program,
            docker_host,
        }
    }

    fn command(&self, verb: &str, workspace: &CliWorkspace<'_>) -> Process {
        self.process(&self.program, workspace)
            .args([verb, "--log-format", "json", "--workspace-folder"])
            .args([workspace.folder])
            .args(["--config"])
            .args([workspace.config])
    }

    fn process(&self, program: impl AsRef<OsStr>, workspace: &CliWorkspace<'_>) -> Process {
        Process::new(program)
            // Everything that the CLI and docker write goes to the attempt's folder: it is removed with the attempt, and
            // attempts do not share it.
            .env("HOME", workspace.scratch.join(scratch::HOME))
            .env("TMPDIR", workspace.scratch.join(scratch::TMP))
            .env(
                "DOCKER_CONFIG",
                workspace.scratch.join(scratch::DOCKER_CONFIG),
            )
            // Docker's configuration names the credential helper, which connects to the attempt's socket.
            .env("PATH", helpers_first(workspace.scratch))
            .env(SOCKET_VARIABLE, workspace.scratch.join(scratch::SOCKET))
            .env("DOCKER_HOST", &self.docker_host)
            .env("DOCKER_BUILDKIT", "1")
            .env("BUILDKIT_PROGRESS", "rawjson")
            // Attestations carry times and differ on every machine.
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .env("COMPOSE_PROJECT_NAME", volume_name(workspace.workspace_id))
            .dir(workspace.folder)
    }

    fn up_command(&self, verb: &str, request: &UpRequest<'_>) -> Process {
        let label = format!("{WORKSPACE_LABEL}={}", request.workspace.workspace_id);
        let command = self
            .command(verb, &request.workspace)
            .args(["--id-label", label.as_str()]);
        match request.override_config {
            Some(file) => command.args(["--override-config"]).args([file]),
            None => command,
        }
    }
}

#[async_trait]
impl Devcontainer for DevcontainerCli {
    async fn version(&self) -> Result<String, ProcessFailure> {
        let text = Process::new(&self.program)
            .args(["--version"])
            .run(&mut |_| {})
            .await?;
        Ok(text.trim().to_owned())
    }

    async fn run_on_node(
        &self,
        workspace: &CliWorkspace<'_>,
        words: &[String],
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        // Lines are read from stderr only.
        let process = self.process("/bin/sh", workspace);
        let process = process.args(["-c", "exec \"$@\" 1>&2", "sh"]).args(words);
        process.run(on_line).await.map(|_| ())
    }

    async fn build(
        &self,
        request: &BuildRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        let docker = write_docker(request.workspace.scratch)
            .map_err(|error| ProcessFailure::new(format!("docker cannot be prepared: {error}")))?;
        let mut command = self
            .command("build", &request.workspace)
            .env(DOCKER_FOLDER, request.docker_folder)
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
        run(command, on_line).await.map(|_| ())
    }

    async fn up(
        &self,
        request: &UpRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<Started, ProcessFailure> {
        let mut command = self.up_command("up", request).args([
            "--update-remote-user-uid-default",
            "never",
            "--remove-existing-container",
            "--no-lockfile",
        ]);
        if request.skip_hooks {
            command = command.args(["--skip-post-create"]);
        }
        let outcome = run(command, on_line).await?;
        Ok(Started {
            container_id: outcome.container_id,
            remote_user: outcome.remote_user,
            remote_folder: outcome.remote_workspace_folder,
        })
    }

    async fn run_hooks(
        &self,
        request: &UpRequest<'_>,
        container_id: &str,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        let command = self
            .up_command("run-user-commands", request)
            .args(["--container-id", container_id]);
        run(command, on_line).await.map(|_| ())
    }
}

/// Runs the CLI, passes the output in its log on as lines, and reads its result.
async fn run(command: Process, on_line: OnLine<'_>) -> Result<Outcome, ProcessFailure> {
    let mut output = LogLines::new(on_line);
    let (success, stdout, _) = command.run_to_end(&mut |line| output.take(line)).await?;
    let tail = output.finish();
    let outcome: Option<Outcome> = stdout
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok());
    match (success, outcome) {
        (Ok(()), Some(outcome)) if outcome.outcome == "success" => Ok(outcome),
        (_, Some(outcome)) if !outcome.message.is_empty() || !outcome.description.is_empty() => {
            Err(ProcessFailure {
                message: [outcome.description, outcome.message]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .collect::<Vec<_>>()
                    .join(": "),
                tail,
            })
        }
        (Err(message), _) => Err(ProcessFailure { message, tail }),
        (Ok(()), _) => Err(ProcessFailure {
            message: "the devcontainer CLI ended without a result".to_owned(),
            tail,
        }),
    }
}

/// Names the folder where docker runs.
const DOCKER_FOLDER: &str = "HEARTH_DOCKER_FOLDER";

/// Writes a docker that runs in another folder than the CLI's, which runs it in the workspace's: for a build, that is a
/// folder without the repository's files.
fn write_docker(scratch: &Path) -> std::io::Result<PathBuf> {
    let path = scratch.join("docker-in-folder");
    let script = format!("#!/bin/sh\ncd \"${DOCKER_FOLDER}\" && exec docker \"$@\"\n");
    hearth_runtime::write_atomically(&path, script.as_bytes(), 0o700)?;
    Ok(path)
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
mod tests {
    use super::*;
    use crate::external::process::Line;

    fn script(text: &str) -> Process {
        Process::new("sh").args(["-c", text])
    }

    async fn lines_of(text: &str) -> (Result<Outcome, ProcessFailure>, Vec<String>) {
        let mut lines = Vec::new();
        let result = run(script(text), &mut |line| {
            if let Line::Text(text) = line {
                lines.push(text.to_owned());
            }
        })
        .await;
        (result, lines)
    }

    #[tokio::test]
    async fn pieces_of_output_become_lines_again() {
        let (result, lines) = lines_of(
            r##"printf '%s\n' '{"type":"raw","level":3,"text":"#1 [1/2] R"}' >&2
                printf '%s\n' '{"type":"raw","level":3,"text":"UN x\n#1 DO"}' >&2
                printf '%s\n' '{"type":"raw","level":3,"text":"NE 1s\n"}' >&2
                printf '%s\n' '{"type":"start","level":2,"text":"Run: docker"}' >&2
                printf '%s\n' '{"type":"text","level":1,"text":"about itself"}' >&2
                printf '%s\n' '{"type":"text","level":3,"text":"\u001b[1mhello\u001b[22m\r\n"}' >&2
                echo 'Error: crash' >&2
                echo '    at crash (file.js)' >&2
                echo '{"outcome":"success","containerId":"c1"}'"##,
        )
        .await;
        assert_eq!(result.unwrap().container_id, "c1");
        assert_eq!(
            lines,
            [
                "#1 [1/2] RUN x",
                "#1 DONE 1s",
                "\u{1b}[1mhello\u{1b}[22m",
                "Error: crash"
            ]
        );
    }

    #[tokio::test]
    async fn a_failure_tells_what_the_cli_says_and_the_last_lines() {
        let (result, _) = lines_of(
            r#"printf '%s\n' '{"type":"raw","level":3,"text":"no such file\n"}' >&2
               echo '{"outcome":"error","message":"Command failed: x","description":"postCreateCommand failed."}'
               exit 1"#,
        )
        .await;
        let failure = result.unwrap_err();
        assert_eq!(
            failure.message,
            "postCreateCommand failed.: Command failed: x"
        );
        assert_eq!(failure.tail, "no such file");
    }

    #[tokio::test]
    async fn an_end_without_a_result_is_a_failure() {
        assert!(
            lines_of("true")
                .await
                .0
                .unwrap_err()
                .message
                .contains("without a result")
        );
        assert!(
            lines_of("exit 2")
                .await
                .0
                .unwrap_err()
                .message
                .contains("exit status: 2")
        );
    }
}
