use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use serde::Deserialize;

use super::{
    api::{BuildRequest, CliWorkspace, Devcontainer, HooksRequest, Started, UpRequest},
    log::LogLines,
};
use crate::{
    credential_helper::SOCKET_VARIABLE,
    devcontainer::CACHE_MOUNTS,
    external::{
        engine::{WORKSPACE_LABEL, volume_name},
        process::{OnLine, Process, ProcessFailure, error_line},
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

impl Outcome {
    /// What failed. Of a command that failed the CLI says only how it was called: the last line of its output that is an
    /// error takes that place.
    fn error(&self, tail: &str) -> String {
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

    fn labelled(&self, verb: &str, workspace: &CliWorkspace<'_>) -> Process {
        let label = format!("{WORKSPACE_LABEL}={}", workspace.workspace_id);
        self.command(verb, workspace)
            .args(["--id-label", label.as_str()])
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
        run(command, on_line).await.map(|_| ())
    }

    async fn up(
        &self,
        request: &UpRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<Started, ProcessFailure> {
        let command = self.labelled("up", &request.workspace).args([
            "--update-remote-user-uid-default",
            "never",
            "--remove-existing-container",
            "--no-lockfile",
            "--skip-post-create",
            "--override-config",
        ]);
        let command = command.args([request.override_config]);
        let outcome = run(command, on_line).await?;
        Ok(Started {
            container_id: outcome.container_id,
            remote_user: outcome.remote_user,
            remote_folder: outcome.remote_workspace_folder,
        })
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
        if let Some(folder) = request.marks {
            command = command.args(["--container-data-folder", folder]);
        }
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
            let message = outcome.error(&tail);
            Err(ProcessFailure { message, tail })
        }
        (Err(message), _) => Err(ProcessFailure { message, tail }),
        (Ok(()), _) => Err(ProcessFailure {
            message: "the devcontainer CLI ended without a result".to_owned(),
            tail,
        }),
    }
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
        assert_eq!(failure.message, "postCreateCommand failed: no such file");
        assert_eq!(failure.tail, "no such file");
    }

    #[test]
    fn a_failure_is_the_error_and_not_the_command_line() {
        let error = |description: &str, message: &str, tail: &str| {
            let outcome = Outcome {
                description: description.to_owned(),
                message: message.to_owned(),
                ..Outcome::default()
            };
            outcome.error(tail)
        };
        let command = "Command failed: docker run --sig-proxy=false -a STDOUT";
        assert_eq!(
            error(
                "An error occurred setting up the container.",
                command,
                "docker: Error response from daemon: Conflict. The name is in use.\n\nRun 'docker run --help'"
            ),
            "An error occurred setting up the container: Conflict. The name is in use."
        );
        assert_eq!(
            error(
                "An error occurred building the image.",
                "Command failed: docker buildx build",
                "{\"vertexes\":[]}\nERROR: failed to build: failed to stat settings.txt\n{\"logs\":[]}"
            ),
            "An error occurred building the image: failed to build: failed to stat settings.txt"
        );
        assert_eq!(
            error(
                "",
                command,
                "invalid argument \"x\" for --memory\nSee 'docker run --help'.\nError: Command failed: docker run\nwhile sleep 1"
            ),
            "invalid argument \"x\" for --memory"
        );
        assert_eq!(
            error(
                "An error occurred retrieving the Docker Compose configuration.",
                "Exit code 14",
                "open nope.yml: no such file or directory"
            ),
            "An error occurred retrieving the Docker Compose configuration: open nope.yml: no such file or directory"
        );
        assert_eq!(
            error(
                "An error occurred setting up the container.",
                "",
                "unable to find user x: no matching entries in passwd file"
            ),
            "An error occurred setting up the container: unable to find user x: no matching entries in passwd file"
        );
        let same = "No image information specified in devcontainer.json.";
        assert_eq!(
            error(same, same, ""),
            "No image information specified in devcontainer.json"
        );
        assert_eq!(error("", command, ""), "a command failed");
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
