//! Whatever fails, and in whichever way: what is told says why, and once the workspace is deleted nothing of it is left.

use hearth_api::v1::{FailureReason, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab,
    client::{Story, request},
    footprint,
};

/// A repository that fails.
struct Case {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// 0: the node's.
    timeout_seconds: u32,
    state: WorkspaceState,
    reason: FailureReason,
    says: &'static str,
}

const CONFIG: &str = ".devcontainer/devcontainer.json";
const DOCKERFILE: &str = ".devcontainer/Dockerfile";
const BUILT: &str = r#"{ "build": { "dockerfile": "Dockerfile" } }"#;

const fn case(
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    reason: FailureReason,
    says: &'static str,
) -> Case {
    let (timeout_seconds, state) = (0, WorkspaceState::Recovery);
    Case {
        name,
        files,
        timeout_seconds,
        state,
        reason,
        says,
    }
}

const CASES: [Case; 13] = [
    case(
        "a-list",
        &[(CONFIG, "\n\n[ 1 ]")],
        FailureReason::ConfigInvalid,
        "devcontainer.json",
    ),
    case(
        "no-dockerfile",
        &[(CONFIG, BUILT)],
        FailureReason::ConfigInvalid,
        "Dockerfile",
    ),
    case(
        "bad-step",
        &[
            (CONFIG, BUILT),
            (DOCKERFILE, "FROM BASE\nRUN echo so sad; exit 9\n"),
        ],
        FailureReason::BuildFailed,
        "so sad",
    ),
    case(
        "bad-dockerfile",
        &[(CONFIG, BUILT), (DOCKERFILE, "FROM BASE\nRUNN echo\n")],
        FailureReason::BuildFailed,
        "RUNN",
    ),
    case(
        "base-that-does-not-answer",
        &[(CONFIG, BUILT), (DOCKERFILE, "FROM localhost:1/none:1\n")],
        FailureReason::BuildFailed,
        "localhost:1",
    ),
    case(
        "image-that-does-not-answer",
        &[(CONFIG, r#"{ "image": "localhost:1/none:1" }"#)],
        FailureReason::BuildFailed,
        "localhost:1",
    ),
    Case {
        timeout_seconds: 8,
        state: WorkspaceState::Failed,
        ..case(
            "endless-build",
            &[
                (CONFIG, BUILT),
                (DOCKERFILE, "FROM BASE\nRUN echo begun && sleep 100000\n"),
            ],
            FailureReason::TimedOut,
            "within 8 s",
        )
    },
    case(
        "initialize",
        &[(
            CONFIG,
            r#"{ "image": "BASE", "initializeCommand": "echo so sad; exit 9" }"#,
        )],
        FailureReason::HookFailed,
        "so sad",
    ),
    case(
        "on-create",
        &[(
            CONFIG,
            r#"{ "image": "BASE", "onCreateCommand": "echo so sad; exit 9" }"#,
        )],
        FailureReason::HookFailed,
        "so sad",
    ),
    case(
        "post-start",
        &[(
            CONFIG,
            r#"{ "image": "BASE", "postStartCommand": { "a": "true", "b": "echo so sad; exit 9" } }"#,
        )],
        FailureReason::HookFailed,
        "so sad",
    ),
    case(
        "arguments",
        &[(
            CONFIG,
            r#"{ "image": "BASE", "runArgs": ["--nonsense"], "mounts": ["type=volume,source=own,target=/own"] }"#,
        )],
        FailureReason::ContainerFailed,
        "--nonsense",
    ),
    case(
        "service-that-is-not-built",
        &[
            (
                CONFIG,
                r#"{ "dockerComposeFile": "c.yml", "service": "app", "workspaceFolder": "/w" }"#,
            ),
            (
                ".devcontainer/c.yml",
                "services: { app: { build: ., volumes: [ 'data:/data' ] } }\nvolumes: { data: }\n",
            ),
            (DOCKERFILE, "FROM BASE\nRUN echo so sad; exit 9\n"),
        ],
        FailureReason::BuildFailed,
        "so sad",
    ),
    case(
        "service-that-does-not-start",
        &[
            (
                CONFIG,
                r#"{ "dockerComposeFile": "c.yml", "service": "app", "workspaceFolder": "/w" }"#,
            ),
            (
                ".devcontainer/c.yml",
                "services:\n  app: { image: BASE, command: sleep 9999, depends_on: { db: { condition: service_healthy } } }\n  \
                 db: { image: BASE, command: 'false', volumes: [ 'data:/data' ] }\nvolumes: { data: }\n",
            ),
        ],
        FailureReason::ContainerFailed,
        "db",
    ),
];

#[tokio::test]
async fn what_fails_says_why_and_nothing_of_it_is_left() {
    let lab = Lab::new(1).await;
    footprint::assert_none(&lab, 0).await;
    for case in CASES {
        let story = prepare(&lab, &case).await;
        story.assert_whole();
        story.assert_state(case.state);
        let failure = story.workspace.failure.clone().expect("a failure");
        assert_eq!(failure.reason(), case.reason, "{}: {failure:?}", case.name);
        let told = format!("{}\n{}", failure.message, failure.output_tail);
        assert!(told.contains(case.says), "{}: {told}", case.name);
        lab.client.delete(&story.workspace.id).await;
        footprint::assert_none(&lab, 0).await;
    }
}

async fn prepare(lab: &Lab, case: &Case) -> Story {
    let files = case.files.iter();
    let files: Vec<_> = files
        .map(|(path, text)| (*path, text.replace("BASE", &lab.base)))
        .collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, &**text)).collect();
    let repo = lab.git.repo(case.name, &files);
    let mut request = request("node-1", &repo.url);
    request.spec.as_mut().expect("a spec").timeout_seconds = case.timeout_seconds;
    lab.client.run(request).await
}

#[tokio::test]
async fn a_configuration_with_mistakes_is_read_as_the_cli_reads_it_and_they_are_told_by_their_lines()
 {
    let lab = Lab::new(1).await;
    let config = format!(
        "{{\n  \"image\": \"{}\"\n  \"containerEnv\": {{ \"A\": \"1\" }},\n",
        lab.base
    );
    let repo = lab.git.repo("mistakes", &[(CONFIG, &config)]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    let told =
        |kind: &Kind| matches!(kind, Kind::Warning(warning) if warning.message.contains("line 3"));
    assert!(story.position(told).is_some(), "{:#?}", story.events);
    lab.client.delete(&story.workspace.id).await;
    footprint::assert_none(&lab, 0).await;
}
