use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use serde::Deserialize;

use super::{
    BuildRequest, ChildFailure, CliPlace, Devcontainer, Line, OnLine, Started, UpRequest,
    child::{Child, Tail},
    docker::{WORKSPACE_LABEL, volume_name},
};
use crate::{
    credentials::SOCKET_VARIABLE,
    pipeline::{HELPERS, SOCKET},
};

/// Longest line of output that is kept whole.
const MAX_LINE: usize = 1024 * 1024;

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

/// A line of the CLI's log on stderr (`--log-format json`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogEvent {
    #[serde(rename = "type")]
    kind: String,
    level: u32,
    text: String,
}

/// The CLI's level for what is meant for people; below it tells about itself.
const LEVEL_INFO: u32 = 3;

impl DevcontainerCli {
    /// The program `program`, working on the engine at `docker_host`.
    pub fn new(program: OsString, docker_host: String) -> Self {
        Self {
            program,
            docker_host,
        }
    }

    fn command(&self, verb: &str, place: &CliPlace<'_>) -> Child {
        Child::new(&self.program)
            // Everything that the CLI and docker write goes to the attempt's own folder: nothing lasts, and two
            // attempts never meet.
            .env("HOME", place.scratch.join("home"))
            .env("TMPDIR", place.scratch.join("tmp"))
            .env("DOCKER_CONFIG", place.scratch.join("docker"))
            // Docker's configuration names the credential helper, which asks the agent at the attempt's socket.
            .env("PATH", helpers_first(place.scratch))
            .env(SOCKET_VARIABLE, place.scratch.join(SOCKET))
            .env("DOCKER_HOST", &self.docker_host)
            .env("DOCKER_BUILDKIT", "1")
            .env("BUILDKIT_PROGRESS", "rawjson")
            // Attestations carry times and differ on every machine.
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .env("COMPOSE_PROJECT_NAME", volume_name(place.workspace_id))
            .dir(place.folder)
            .args([verb, "--log-format", "json", "--workspace-folder"])
            .args([place.folder])
            .args(["--config"])
            .args([place.config])
    }

    fn up_command(&self, verb: &str, request: &UpRequest<'_>) -> Child {
        let label = format!("{WORKSPACE_LABEL}={}", request.place.workspace_id);
        let command = self
            .command(verb, &request.place)
            .args(["--id-label", label.as_str()]);
        match request.override_config {
            Some(file) => command.args(["--override-config"]).args([file]),
            None => command,
        }
    }
}

#[async_trait]
impl Devcontainer for DevcontainerCli {
    async fn version(&self) -> Result<String, ChildFailure> {
        let text = Child::new(&self.program)
            .args(["--version"])
            .run(&mut |_| {})
            .await?;
        Ok(text.trim().to_owned())
    }

    async fn build(
        &self,
        request: &BuildRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ChildFailure> {
        let mut command = self
            .command("build", &request.place)
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
    ) -> Result<Started, ChildFailure> {
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
    ) -> Result<(), ChildFailure> {
        let command = self
            .up_command("run-user-commands", request)
            .args(["--container-id", container_id]);
        run(command, on_line).await.map(|_| ())
    }
}

/// Runs the CLI and reads its result; its log becomes lines again.
async fn run(command: Child, on_line: OnLine<'_>) -> Result<Outcome, ChildFailure> {
    let mut output = Output {
        on_line,
        open: String::new(),
        tail: Tail::default(),
    };
    let (success, stdout, _) = command.run_to_end(&mut |line| output.take(line)).await?;
    output.end_line();
    let tail = output.tail.into_text();
    let outcome: Option<Outcome> = stdout
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok());
    match (success, outcome) {
        (Ok(()), Some(outcome)) if outcome.outcome == "success" => Ok(outcome),
        (_, Some(outcome)) if !outcome.message.is_empty() || !outcome.description.is_empty() => {
            Err(ChildFailure {
                message: [outcome.description, outcome.message]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .collect::<Vec<_>>()
                    .join(": "),
                tail,
            })
        }
        (Err(message), _) => Err(ChildFailure { message, tail }),
        (Ok(()), _) => Err(ChildFailure {
            message: "the devcontainer CLI ended without a result".to_owned(),
            tail,
        }),
    }
}

/// Puts the pieces of output that the CLI's log carries together to lines.
struct Output<'a> {
    on_line: OnLine<'a>,
    open: String,
    tail: Tail,
}

impl Output<'_> {
    fn take(&mut self, line: Line<'_>) {
        let Line::Text(line) = line else {
            (self.on_line)(Line::Quiet);
            return;
        };
        match serde_json::from_str::<LogEvent>(line) {
            Ok(event) if event.kind == "raw" => self.piece(&event.text),
            Ok(event) if event.kind == "text" && event.level >= LEVEL_INFO => {
                self.piece(&event.text);
                self.end_line();
            }
            Ok(_) => {}
            // A crash of the CLI itself is printed as it is; where in its code it was helps nobody here.
            Err(_) if line.trim_start().starts_with("at ") => {}
            Err(_) => {
                self.piece(line);
                self.end_line();
            }
        }
    }

    fn piece(&mut self, text: &str) {
        for part in text.split_inclusive('\n') {
            let room = MAX_LINE.saturating_sub(self.open.len());
            let mut end = part.len().min(room);
            while !part.is_char_boundary(end) {
                end -= 1;
            }
            self.open.push_str(&part[..end]);
            if part.ends_with('\n') {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.open);
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.trim().is_empty() {
            self.tail.push(line);
            (self.on_line)(Line::Text(line));
        }
    }
}

fn helpers_first(scratch: &Path) -> OsString {
    let mut path = scratch.join(HELPERS).into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

/// Where the CLI keeps a clone's configuration when the clone has none: the file need not exist, its name counts.
pub fn default_config_path(folder: &Path) -> PathBuf {
    folder.join(".devcontainer/devcontainer.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Child {
        Child::new("sh").args(["-c", text])
    }

    async fn lines_of(text: &str) -> (Result<Outcome, ChildFailure>, Vec<String>) {
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
