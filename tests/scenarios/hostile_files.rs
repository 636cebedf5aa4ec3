//! Links, pipes and settings that a repository or its containers put in the way of the agent, which is root on the node:
//! they reach nothing of it.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use hearth_api::v1::{WorkspaceState, event::Kind};
use hearth_tests::{Lab, app, client::Story};

const CONFIG: &str = ".devcontainer/devcontainer.json";

/// A file of the node that a repository knows the path of.
fn canary(lab: &Lab, name: &str) -> PathBuf {
    let canary = lab.folder(name);
    fs::write(&canary, r#"{"features": {}}"#).unwrap();
    canary
}

fn is_precious(canary: &PathBuf) -> bool {
    fs::read_to_string(canary).unwrap() == r#"{"features": {}}"#
        && fs::metadata(canary).unwrap().uid() == 0
}

/// Whether a failure or a warning says this.
fn tells(story: &Story, text: &str) -> bool {
    let failure = story.workspace.failure.as_ref();
    failure.is_some_and(|failure| failure.message.contains(text))
        || story
            .kinds()
            .any(|kind| matches!(kind, Kind::Warning(warning) if warning.message.contains(text)))
}

#[tokio::test]
async fn a_hook_that_fails_writes_no_file_of_the_node_by_the_note_about_it() {
    let lab = Lab::new(1).await;
    let (there, missing) = (canary(&lab, "there"), lab.folder("missing"));
    for (name, target) in [("there", &there), ("missing", &missing)] {
        let hook = format!(
            r#", "onCreateCommand": "ln -sfn {} /workspaces/hearth-recovery.txt; echo so sad; exit 3""#,
            target.display()
        );
        let repo = app::with_dockerfile(&lab, name, "FROM BASE\n", &hook);
        let story = lab.client.prepare("node-1", &repo.url).await;
        story.assert_state(WorkspaceState::Recovery);
        let id = &story.workspace.container_id;
        let note = lab.vms[0].cat(id, "/workspaces/hearth-recovery.txt");
        assert!(note.contains("so sad"), "{note}");
    }
    assert!(is_precious(&there));
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_lockfile_that_is_a_link_is_followed_in_the_repository_only() {
    let mut lab = Lab::new(1).await;
    let canary = canary(&lab, "canary.json");
    let lock = ".devcontainer/devcontainer-lock.json";
    let files = [
        (
            CONFIG,
            &*format!(
                r#"{{ "image": "{}", "features": {{ "./f": {{}} }} }}"#,
                lab.base
            ),
        ),
        (
            ".devcontainer/f/devcontainer-feature.json",
            r#"{ "id": "f", "version": "1.0.0" }"#,
        ),
        (
            ".devcontainer/f/install.sh",
            "#!/bin/sh\necho hi > /opt/hello\n",
        ),
        ("locks/dev.json", r#"{"features": {}}"#),
    ];
    let up = format!("{}{}", "../".repeat(20), &canary.to_str().unwrap()[1..]);
    for (name, target) in [("absolute", canary.to_str().unwrap()), ("relative", &up)] {
        let repo = lab.git.empty_repo(name);
        repo.link(&[(lock, target)]);
        repo.commit(&files);
        let story = lab.client.prepare("node-1", &repo.url).await;
        story.assert_state(WorkspaceState::Recovery);
        assert!(
            tells(
                &story,
                "devcontainer-lock.json: leads out of the repository"
            ),
            "{story:#?}"
        );
        assert!(is_precious(&canary), "{name}");
    }
    let repo = lab.git.empty_repo("inside");
    repo.link(&[(lock, "../locks/dev.json")]);
    repo.commit(&files);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    assert_eq!(
        lab.vms[0].cat(&story.workspace.container_id, "/opt/hello"),
        "hi"
    );
    lab.agents[0].restart();
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
}

#[tokio::test]
async fn a_service_that_swaps_a_folder_for_a_link_is_handed_nothing_of_the_node() {
    let lab = Lab::new(1).await;
    let node = lab.folder("node");
    fs::create_dir(&node).unwrap();
    let canary = node.join("canary");
    fs::write(&canary, r#"{"features": {}}"#).unwrap();
    let swap = format!(
        "cd /project; mkdir -p d; touch d/canary; while :; do mv d aside; ln -s {} d; rm d; mv aside d; done",
        node.display()
    );
    let compose = format!(
        "services:\n  app:\n    build: .\n    command: [sh, -c, '{swap}']\n    volumes: ['..:/project']\n"
    );
    let dockerfile = format!("FROM {}\n", lab.base);
    let config = r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/project", "overrideCommand": false,
                      "remoteUser": "dev", "postCreateCommand": "id -un >> .hook-runs" }"#;
    let files = [
        (CONFIG, config),
        (".devcontainer/compose.yml", &compose),
        (".devcontainer/Dockerfile", &dockerfile),
        ("file", ""),
    ];
    let repo = lab.git.repo("swaps", &files);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    let id = &story.workspace.container_id;
    assert_eq!(lab.vms[0].cat(id, "/project/.hook-runs"), "dev");
    let owner = lab.vms[0].docker(&["exec", id, "stat", "-c", "%U", "/project/file"]);
    assert_eq!(owner, "dev");
    assert!(is_precious(&canary));
    assert_eq!(fs::metadata(&node).unwrap().uid(), 0);
}

#[tokio::test]
async fn a_pipe_in_a_files_place_holds_up_nothing() {
    let lab = Lab::new(1).await;
    for (name, pipe, config) in [
        (
            "ignores",
            ".dockerignore",
            r#""build": { "dockerfile": "Dockerfile", "context": ".." }"#,
        ),
        (
            "dockerfile",
            ".devcontainer/Dockerfile",
            r#""build": { "dockerfile": "Dockerfile" }"#,
        ),
        (
            "feature",
            ".devcontainer/f/devcontainer-feature.json",
            r#""image": "BASE", "features": { "./f": {} }"#,
        ),
    ] {
        let config = config.replace("BASE", &lab.base);
        let initialize = format!("rm -f {pipe}; mkfifo {pipe}");
        let repo = lab.git.repo(
            name,
            &[
                (
                    CONFIG,
                    &format!(r#"{{ {config}, "initializeCommand": "{initialize}" }}"#),
                ),
                (".devcontainer/Dockerfile", &format!("FROM {}\n", lab.base)),
                (".devcontainer/f/install.sh", "#!/bin/sh\n"),
            ],
        );
        let story = lab.client.prepare("node-1", &repo.url).await;
        story.assert_state(WorkspaceState::Recovery);
        let why = format!("{pipe}: is a pipe, and has to be a file");
        assert!(tells(&story, &why), "{story:#?}");
    }
}
