//! Git in a workspace logs in to the workspace's own repository, in every kind of image, and to nothing else.

use std::{collections::BTreeMap, path::Path};

use hearth_api::v1::{FailureReason, Workspace, WorkspaceState};
use hearth_tests::{
    Lab, Vm,
    client::{Story, request},
    github::{Repositories, Visibility, WRITER},
};

/// Contacts the server for a private repository, and fails when that works for another one.
const HOOK: &str = "\
set -e
git fetch origin
git ls-remote origin refs/heads/main
if git ls-remote OTHER; then echo 'another repository could be read'; exit 9; fi
";
/// The same for a submodule, which has to be fetched again.
const SUBMODULE: &str = "\
git submodule deinit --force own
rm -rf .git/modules/own
git submodule update --init
test -f own/guide
";

/// A world with a private repository that the App may read and another one that it may read too.
async fn lab() -> Lab {
    let lab = Lab::guarded(1).await;
    let github = lab.github();
    for repository in ["acme/app", "acme/other"] {
        github.create_repository(repository, Visibility::Private);
        github.commit(repository, &[("README", "hello\n")]);
    }
    github.commit_to("acme/app", "docs", &[("guide", "read me\n")]);
    github.install("acme", Repositories::selected(&["app", "other"]), &WRITER);
    lab
}

/// The hook as a file, so that no quoting comes between it and its shell.
fn hook(lab: &Lab, script: &str) -> String {
    script.replace("OTHER", &lab.github().clone_url("acme/other"))
}

/// Commits the branch `docs` of the repository itself as its submodule: a private one that its login reads.
fn add_submodule(lab: &Lab) {
    let github = lab.github();
    let git = |args: &[&str]| github.git("acme/app", args);
    let modules = format!(
        "[submodule \"own\"]\n\tpath = own\n\turl = {}\n\tbranch = docs\n",
        github.clone_url("acme/app")
    );
    github.commit("acme/app", &[(".gitmodules", &modules)]);
    let docs = git(&["rev-parse", "docs"]);
    git(&["read-tree", "main"]);
    git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{docs},own"),
    ]);
    let tree = git(&["write-tree"]);
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    let commit = ["commit-tree", &tree, "-p", "main", "-m", "submodule"];
    let commit = git(&[&identity[..], &commit[..]].concat());
    git(&["update-ref", "refs/heads/main", &commit]);
}

async fn prepare(lab: &Lab) -> Story {
    let url = lab.github().clone_url("acme/app");
    lab.client.prepare("node-1", &url).await
}

fn assert_ready(story: &Story) {
    assert_eq!(
        story.workspace.state(),
        WorkspaceState::Ready,
        "{:#?}\n{:#?}",
        story.workspace,
        story.events
    );
}

/// Runs git in the workspace as its user; whether it worked.
fn git(lab: &Lab, workspace: &Workspace, args: &[&str]) -> bool {
    std::process::Command::new("docker")
        .env("PATH", hearth_tests::process::path())
        .env("DOCKER_HOST", lab.vms[0].docker_host())
        .args(["exec", "--env", "GIT_TERMINAL_PROMPT=0"])
        .args(["--user", &workspace.remote_user])
        .args(["--workdir", &workspace.remote_folder])
        .args([&workspace.container_id, "git"])
        .args(args)
        .output()
        .expect("docker")
        .status
        .success()
}

/// Panics where one of the stand-in's secrets is in what the engine tells of the container, in the workspace's log, or
/// in a file of the agent, the clone included.
fn assert_no_secret_is_left(lab: &Lab, story: &Story) {
    let inspected = lab.vms[0].docker(&["inspect", &story.workspace.container_id]);
    let volume = format!("hearth-{}", story.workspace.id);
    let clone = lab.vms[0].docker(&["volume", "inspect", "--format={{.Mountpoint}}", &volume]);
    let mut texts = BTreeMap::from([
        ("the container".to_owned(), inspected.into_bytes()),
        (
            "the log".to_owned(),
            format!("{:?}", story.events).into_bytes(),
        ),
    ]);
    let agent = lab.agents[0].workspaces_dir();
    for folder in [agent.parent().expect("a parent"), Path::new(&clone)] {
        read_all(folder, &mut texts);
    }
    let secrets = lab.github().secrets();
    assert!(!secrets.is_empty());
    for (place, text) in texts {
        let found = secrets
            .iter()
            .any(|secret| text.windows(secret.len()).any(|at| at == secret.as_bytes()));
        assert!(!found, "a secret is in {place}");
    }
}

fn read_all(folder: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            read_all(&entry.path(), into);
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).expect("a file");
            into.insert(entry.path().display().to_string(), bytes);
        }
    }
}

async fn works_in(kind: &str, user: &str, script: &str) -> (Lab, Story) {
    let lab = lab().await;
    let image = lab.registry.base_image(kind, &lab.vms[0]).await;
    let config = format!(
        r#"{{ "image": "{image}", "remoteUser": "{user}", "runArgs": ["--network=host"],
              "postCreateCommand": "GIT_TERMINAL_PROMPT=0 sh .devcontainer/hook" }}"#
    );
    let files = [
        (".devcontainer/devcontainer.json", config.as_str()),
        (".devcontainer/hook", &hook(&lab, script)),
    ];
    lab.github().commit("acme/app", &files);
    add_submodule(&lab);
    let story = prepare(&lab).await;
    assert_ready(&story);
    assert_eq!(story.workspace.remote_user, user);
    assert_no_secret_is_left(&lab, &story);
    (lab, story)
}

fn with_submodule() -> String {
    format!("{HOOK}{SUBMODULE}")
}

#[tokio::test]
async fn hooks_reach_their_private_repository_as_root_in_debian() {
    // The image's own configuration of git stays root's to write.
    let script = format!("git config --system user.name hearth\n{}", with_submodule());
    works_in("git-debian", "root", &script).await;
}

#[tokio::test]
async fn hooks_reach_their_private_repository_as_another_user_in_debian() {
    works_in("git-debian", "dev", &with_submodule()).await;
}

#[tokio::test]
async fn hooks_reach_their_private_repository_in_an_image_of_busybox() {
    works_in("git-tiny", "dev", &with_submodule()).await;
}

#[tokio::test]
async fn hooks_reach_their_private_repository_in_an_image_with_nothing_but_git() {
    works_in("git-bare", "root", HOOK).await;
}

#[tokio::test]
async fn git_in_a_workspace_works_over_restarts_of_the_agent_and_ends_with_the_workspace() {
    let (mut lab, story) = works_in("git-tiny", "dev", HOOK).await;
    let other = lab.github().clone_url("acme/other");
    let workspace = &story.workspace;
    let fetch = ["fetch", "origin"];
    assert!(git(&lab, workspace, &fetch));
    assert!(!git(&lab, workspace, &["ls-remote", &other]));
    lab.agents[0].kill();
    assert!(!git(&lab, workspace, &fetch), "there is no answer");
    lab.agents[0].restart();
    assert!(git(&lab, workspace, &fetch));
    assert!(!git(&lab, workspace, &["ls-remote", &other]));
    // A login that was given out ended before its time: git tells so, and the next one works.
    lab.github().revoke_all();
    assert!(!git(&lab, workspace, &fetch));
    assert!(git(&lab, workspace, &fetch));
    let folder = lab.agents[0].workspaces_dir().join(&workspace.id);
    assert!(folder.exists());
    lab.client.delete(&workspace.id).await;
    assert!(!folder.exists());
}

#[tokio::test]
async fn hooks_in_a_compose_service_reach_their_private_repository() {
    let lab = lab().await;
    let image = lab.registry.base_image("git-tiny", &lab.vms[0]).await;
    let compose = format!(
        "services:\n  app:\n    image: {image}\n    command: sleep infinity\n    network_mode: host\n    volumes: ['..:/project']\n"
    );
    let files = [
        (
            ".devcontainer/devcontainer.json",
            r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/project",
                 "remoteUser": "dev", "postCreateCommand": "GIT_TERMINAL_PROMPT=0 sh .devcontainer/hook && id -un >> .ran" }"#,
        ),
        (".devcontainer/compose.yml", &compose),
        (".devcontainer/hook", &hook(&lab, HOOK)),
    ];
    lab.github().commit("acme/app", &files);
    let story = prepare(&lab).await;
    assert_ready(&story);
    assert_no_secret_is_left(&lab, &story);
    let container = &story.workspace.container_id;
    let ran = lab.vms[0].cat(container, "/project/.ran");
    assert_eq!(ran, "dev", "the hook ran once");
    let format = "{{range .Mounts}}{{if eq .Destination \"/opt/hearth\"}}{{.RW}}{{end}}{{end}}";
    let writable = lab.vms[0].docker(&["inspect", "--format", format, container]);
    assert_eq!(writable, "false");
    lab.client.delete(&story.workspace.id).await;
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn a_workspace_with_the_default_image_reaches_its_private_repository_too() {
    let mut lab = Lab::guarded(0).await;
    let vm = Vm::start(lab.folder("vm"));
    lab.base = lab.registry.base_image("git-tiny", &vm).await;
    lab.add_node_on(vm, &[]).await;
    let github = lab.github();
    github.create_repository("acme/app", Visibility::Private);
    github.commit("acme/app", &[("README", "hello\n")]);
    github.install("acme", Repositories::All, &WRITER);
    let broken = "[]";
    for (lightweight, config, state) in [
        (true, "{}", WorkspaceState::Ready),
        (false, broken, WorkspaceState::Recovery),
    ] {
        github.commit("acme/app", &[(".devcontainer.json", config)]);
        let mut request = request("node-1", &github.clone_url("acme/app"));
        request.spec.as_mut().unwrap().lightweight = lightweight;
        let story = lab.client.run(request).await;
        assert_eq!(story.workspace.state(), state, "{:#?}", story.workspace);
        let asked = [
            "exec",
            "--env=GIT_TERMINAL_PROMPT=0",
            &story.workspace.container_id,
            "sh",
            "-c",
            "git config --get-urlmatch credential.helper $0 && printf 'protocol=http\\nhost=%s\\npath=acme/app\\n' $1 | git credential fill",
            &github.url(),
            &github.host(),
        ];
        let said = lab.vms[0].docker(&asked);
        assert!(said.contains("/opt/hearth/"), "{said}");
        assert!(said.contains("username=x-access-token"), "{said}");
    }
}

#[tokio::test]
async fn a_repository_that_the_app_is_not_installed_on_fails_with_what_to_do() {
    let lab = Lab::guarded(1).await;
    let github = lab.github();
    github.create_repository("acme/app", Visibility::Private);
    github.commit("acme/app", &[("README", "hello\n")]);
    let story = prepare(&lab).await;
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(failure.reason(), FailureReason::CloneFailed);
    assert!(failure.message.contains("cannot be cloned"), "{failure:?}");
    assert!(failure.message.contains("install"), "{failure:?}");
    lab.assert_nothing_left(1).await;
}
