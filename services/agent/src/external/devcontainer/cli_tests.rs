use super::*;
use crate::external::process::Line;

fn script(text: &str) -> Process {
    Process::new(&Sandbox::of_tests(), "sh").args(["-c", text])
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
    let twice = "An error occurred setting up the container.";
    assert_eq!(
        error(
            twice,
            twice,
            "Shell server terminated (code: 126, signal: null)\nno users found\n\nError: An error occurred setting up the container.\n    at sW"
        ),
        "An error occurred setting up the container: no users found"
    );
    let same = "No image information specified in devcontainer.json.";
    assert_eq!(
        error(same, same, ""),
        "No image information specified in devcontainer.json"
    );
    assert_eq!(error("", command, ""), "a command failed");
}

#[tokio::test]
async fn a_crash_of_the_cli_is_told_and_its_program_is_not() {
    for (crash, told) in [
        (
            "RangeError: Invalid string length",
            "the devcontainer CLI cannot hold all that the command printed: let it print less than 500 MB",
        ),
        (
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            "the devcontainer CLI ended by an error of its own: FATAL ERROR: Reached heap limit",
        ),
        ("a [CODE]: x", "sh ended with exit status: 1"),
    ] {
        let script = format!(
            r#"zeros=$(printf %04000d 7)
               printf '%s\n' "{{\"type\":\"raw\",\"level\":3,\"text\":\"SyntaxError: of the command\n$zeros\n\"}}" >&2
               echo /cli.js:235 >&2; printf 'function %09000d\n' 0 >&2; echo >&2
               echo '{crash}' >&2; echo '    at Socket.emit (node:events:524:28)' >&2; exit 1"#
        );
        let failure = lines_of(&script).await.0.unwrap_err();
        assert!(failure.message.starts_with(told), "{failure:?}");
        let longest = failure.tail.lines().map(str::len).max().unwrap();
        assert!(
            longest < 1100 && !failure.tail.contains("function"),
            "{failure:?}"
        );
        let zeros = failure.tail.lines().nth(1).unwrap();
        assert!(zeros.starts_with("000") && zeros.ends_with("0…"), "{zeros}");
    }
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

/// A CLI that tells that it runs, takes its configuration and says that it started a container.
const UP: &str = r#"#!/bin/sh
printf '%s\n' "$*" >args
: >running
cat "$(printf '%s\n' "$*" | sed 's/.*--override-config \([^ ]*\).*/\1/')" >configuration
cp -r "$TMPDIR" tmp-seen
echo '{"outcome":"success","containerId":"c1","remoteUser":"dev","remoteWorkspaceFolder":"/w"}'
"#;

/// What `up` made of a configuration that came when the CLI ran, or never, in a folder of its own.
async fn upped(
    program: &str,
    from: UpFrom,
    text: Option<&str>,
) -> (tempfile::TempDir, Result<Started, ProcessFailure>) {
    let dir = tempfile::tempdir().unwrap();
    let (cli, id) = (dir.path().join("devcontainer"), "ws-1".parse().unwrap());
    hearth_runtime::write_atomically(&cli, program.as_bytes(), 0o700).unwrap();
    std::fs::create_dir(dir.path().join(scratch::TMP)).unwrap();
    let (configure, configuration) = tokio::sync::oneshot::channel();
    let request = UpRequest {
        workspace: CliWorkspace {
            folder: dir.path(),
            config: Path::new("devcontainer.json"),
            scratch: dir.path(),
            workspace_id: &id,
        },
        from,
        configuration,
    };
    let running = dir.path().join("running");
    let configured = async move {
        while !running.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        if let Some(text) = text {
            configure.send(text.to_owned()).unwrap();
        }
    };
    let cli = DevcontainerCli::new(Sandbox::of_tests(), cli.into());
    let mut unread = |_: Line<'_>| {};
    let (started, ()) = tokio::join!(cli.up(request, &mut unread), configured);
    (dir, started)
}

#[tokio::test]
async fn the_cli_starts_before_its_configuration_is_there_and_gets_all_of_it() {
    // More than a pipe holds.
    let text = format!(r#"{{"image": "{}"}}"#, "a".repeat(300_000));
    let (dir, started) = upped(UP, UpFrom::Image, Some(&text)).await;
    let started = started.unwrap();
    assert_eq!(
        (
            started.container_id.as_str(),
            started.remote_folder.as_str()
        ),
        ("c1", "/w")
    );
    let seen = std::fs::read_to_string(dir.path().join("configuration")).unwrap();
    assert!(seen == text, "{} of {} bytes", seen.len(), text.len());
}

#[tokio::test]
async fn a_finished_image_is_started_without_a_question_to_the_internet_or_to_buildkit() {
    for (from, is_finished) in [(UpFrom::Image, true), (UpFrom::Compose, false)] {
        let (dir, started) = upped(UP, from, Some("{}")).await;
        started.unwrap();
        let args = std::fs::read_to_string(dir.path().join("args")).unwrap();
        assert_eq!(args.contains("--buildkit never"), is_finished, "{args}");
        let list = "tmp-seen/devcontainercli-root/control-manifest.json";
        assert_eq!(dir.path().join(list).exists(), is_finished);
        // Builds fetch the list, and find no other.
        let list = "tmp/devcontainercli-root/control-manifest.json";
        assert!(!dir.path().join(list).exists());
    }
}

#[tokio::test]
async fn a_cli_that_ends_before_it_reads_its_configuration_says_why() {
    let ends =
        "#!/bin/sh\n: >running\necho '{\"outcome\":\"error\",\"message\":\"no engine\"}'\nexit 1\n";
    let text = "x".repeat(300_000);
    let (_, started) = upped(ends, UpFrom::Image, Some(&text)).await;
    assert_eq!(started.unwrap_err().message, "no engine");
}

#[tokio::test]
async fn a_cli_whose_configuration_never_comes_is_ended() {
    let (dir, started) = upped(UP, UpFrom::Image, None).await;
    assert!(started.is_err(), "{started:?}");
    assert!(!dir.path().join("tmp-seen").exists());
}
