//! Images and hooks that do what nobody expects, to themselves, to their volume and to who reads of them: they reach
//! nothing of the node, hold up nobody, and leave nothing.

use std::{fs, os::unix::fs::MetadataExt as _, process::Command};

use futures_util::future::join_all;
use hearth_api::v1::WorkspaceState;
use hearth_tests::{
    Lab, app,
    process::{binary, path},
};

/// Each by its name, what its Dockerfile has besides the base, and its properties. `CANARY` is a folder of the node.
const INPUTS: [(&str, &str, &str); 14] = [
    (
        "ends-itself",
        "",
        r#""postCreateCommand": "kill -TERM 1; sleep 30""#,
    ),
    (
        "ends-before-it-began",
        "CMD [\"false\"]",
        r#""overrideCommand": false"#,
    ),
    (
        "ends-late",
        "CMD [\"sleep\", \"1\"]",
        r#""overrideCommand": false, "postCreateCommand": "sleep 5""#,
    ),
    (
        "forks",
        "",
        r#""runArgs": ["--pids-limit=60"],
           "postCreateCommand": "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done""#,
    ),
    (
        "digs",
        "",
        r#""postCreateCommand": "i=0; while [ $i -lt 3000 ]; do mkdir d && cd d || break; i=$((i+1)); done""#,
    ),
    (
        "swaps",
        "",
        r#""onCreateCommand": "(cd /workspaces; while :; do mv swaps aside; ln -s CANARY swaps; rm swaps; mv aside swaps; done) > /dev/null 2>&1 &",
           "postCreateCommand": "exit 3""#,
    ),
    (
        "swaps-the-volume",
        "",
        r#""postCreateCommand": "cd /workspaces; for n in hearth-recovery.txt .hearth .devcontainer; do ln -sfn CANARY/new $n; done; mv swaps-the-volume old; ln -s CANARY swaps-the-volume; exit 3""#,
    ),
    (
        "erases",
        "",
        r#""postCreateCommand": "rm -rf /workspaces/* /workspaces/.[!.]*; exit 3""#,
    ),
    (
        "shouts",
        "",
        r#""postCreateCommand": "head -c 5000000 /dev/zero | tr '\\0' '\\233'""#,
    ),
    (
        "has-no-users",
        "RUN rm /etc/passwd && mkdir /etc/passwd",
        r#""remoteUser": "dev""#,
    ),
    (
        "has-users-elsewhere",
        "RUN ln -sf ../../../../../../..CANARY/file /etc/passwd",
        r#""remoteUser": "dev""#,
    ),
    (
        "is-nobody",
        "USER 4294967295:4294967295",
        r#""postCreateCommand": "id""#,
    ),
    (
        "nests",
        "LABEL devcontainer.metadata='NESTED'",
        r#""postCreateCommand": "id""#,
    ),
    (
        "counts",
        "ENV GIT_CONFIG_COUNT=18446744073709551615",
        r#""postCreateCommand": "git status""#,
    ),
];

#[tokio::test]
async fn whatever_a_container_does_the_node_and_its_agent_go_on() {
    let mut lab = Lab::new(1).await;
    let canary = lab.folder("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "precious").unwrap();
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let fill = |text: &str| {
        text.replace("CANARY", canary.to_str().unwrap())
            .replace("NESTED", &nested)
    };
    let repos = INPUTS.map(|(name, dockerfile, properties)| {
        let dockerfile = format!("FROM BASE\n{}\n", fill(dockerfile));
        app::with_dockerfile(&lab, name, &dockerfile, &format!(", {}", fill(properties)))
    });
    let stories = repos
        .iter()
        .map(|repo| lab.client.prepare("node-1", &repo.url));
    let stories = join_all(stories).await;
    for (story, (name, ..)) in stories.iter().zip(INPUTS) {
        story.assert_whole();
        let workspace = &story.workspace;
        if workspace.state() != WorkspaceState::Ready {
            let failure = workspace.failure.as_ref();
            let why = failure.map_or("", |failure| &failure.message);
            assert!(!why.is_empty(), "{name}: {story:#?}");
        }
    }

    assert_eq!(fs::read_to_string(canary.join("file")).unwrap(), "precious");
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 1);
    let owners = [&canary, &canary.join("file")].map(|path| fs::metadata(path).unwrap().uid());
    assert_eq!(owners, [0, 0]);
    lab.agents[0].restart();
    lab.until_online("node-1").await;
    let ids = stories.iter().map(|story| story.workspace.id.as_str());
    join_all(ids.map(|id| lab.client.delete(id))).await;
    let repo = app::with_dockerfile(&lab, "honest", "FROM BASE\n", "");
    let honest = lab.client.prepare("node-1", &repo.url).await;
    honest.assert_state(WorkspaceState::Ready);
    lab.client.delete(&honest.workspace.id).await;
    lab.assert_nothing_left(1).await;
}

/// An engine that opened such a file would hold its container for ever.
#[tokio::test]
async fn an_image_whose_users_are_in_a_pipe_is_refused_and_removed() {
    let lab = Lab::new(1).await;
    let repos = [
        ("passwd", "RUN rm -f /etc/passwd && mkfifo /etc/passwd"),
        (
            "group",
            "RUN rm -f /etc/group && mkfifo /etc/pipe && ln -s pipe /etc/link && ln -s ../etc/link /etc/group",
        ),
    ];
    for (file, dockerfile) in repos {
        let dockerfile = format!("FROM BASE\n{dockerfile}\n");
        let repo = app::with_dockerfile(&lab, file, &dockerfile, "");
        let story = lab.client.prepare("node-1", &repo.url).await;
        let failure = story.workspace.failure.as_ref();
        let why = failure.map_or("", |failure| &failure.message);
        let expected = format!("the image's /etc/{file} is not a regular file");
        assert!(why.contains(&expected), "{story:#?}");
        lab.client.delete(&story.workspace.id).await;
    }
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn nothing_that_a_repository_writes_reaches_the_terminal_as_a_command() {
    let lab = Lab::new(1).await;
    let injected = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}x\nREADY";
    let hook = injected
        .replace('\u{1b}', "\\u001b")
        .replace('\u{7}', "\\u0007");
    let hook = hook.replace('\n', "\\n");
    let config = format!(
        r#"{{ "image": "{base}", "name": "{hook}", "runArgs": ["--security-opt=apparmor=a{hook}", "--cap-add=SYS_{hook}"],
              "postCreateCommand": {{ "{hook}": "printf '\\033]0;owned\\007\\033[2J'; exit 3" }} }}"#,
        base = lab.base
    );
    let repo = lab.git.repo(
        "app",
        &[
            (".devcontainer/devcontainer.json", &config),
            (&format!(".devcontainer/{injected}/devcontainer.json"), "{}"),
            (".gitattributes", "*[xY] filter=lfs\n"),
            (&format!("{injected}-x"), "version https://git-lfs\n"),
        ],
    );
    let hearth = |args: &[&str]| {
        let output = Command::new(binary("hearth"))
            .args(args)
            .env("PATH", path())
            .env("HEARTH_CONTROL_PLANE", lab.control_plane.url())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let harmful =
            |c: &char| *c != '\n' && (c.is_control() || hearth_domain::text::is_harmful(*c));
        assert_eq!(text.chars().find(harmful), None, "{args:?}: {text:?}");
        assert!(!text.lines().any(|line| line.trim() == "READY"), "{text}");
        text
    };
    let told = hearth(&["up", &repo.url, "--until", "settled"]);
    assert!(told.contains("RECOVERY"), "{told}");
    let other = hearth(&["up", &repo.url, "--config", "missing"]);
    assert!(other.contains("missing"), "{other}");
    let workspaces = hearth(&["ls", "--wide"]);
    for line in workspaces.lines().skip(1) {
        let id = line.split_whitespace().next().unwrap_or_default();
        hearth(&["get", id]);
        hearth(&["logs", id]);
    }
}

/// Deeper than what an engine can have open.
#[tokio::test]
async fn folders_however_deep_do_not_keep_a_workspace_from_being_deleted() {
    let lab = Lab::new(1).await;
    let hook = r#", "postCreateCommand": "mkdir t && d=$(seq -s / 500) && for n in $(seq 100); do mkdir -p n/$d && mv t n/$d/ && mv n t; done", "waitFor": "postCreateCommand""#;
    let repo = app::with_dockerfile(&lab, "deep", "FROM BASE\n", hook);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    lab.client.delete(&story.workspace.id).await;
    lab.assert_nothing_left(1).await;
}
