//! Workspaces on real engines: they are stopped and started, end by themselves or with their node, and leave nothing.

use std::path::Path;

use hearth_api::v1::{FailureReason, StopCause, WorkspaceState, event::Kind};
use hearth_tests::{Lab, Vm, app, client::Story};

/// In the image beside the clone, a user who is not root, and hooks that tell how often they ran.
const BESIDE: &str =
    "FROM BASE\nRUN mkdir -p /workspaces/tools && echo sharp > /workspaces/tools/saw\n";
const HOOKS: &str = r#", "remoteUser": "dev", "waitFor": "postStartCommand",
    "postCreateCommand": "echo c >> /tmp/runs", "postStartCommand": "echo s >> /tmp/runs""#;

fn run(vm: &Vm, story: &Story, script: &str) -> String {
    let workspace = &story.workspace;
    vm.docker(&[
        "exec",
        "--user",
        &workspace.remote_user,
        "--workdir",
        &workspace.remote_folder,
        &workspace.container_id,
        "sh",
        "-c",
        script,
    ])
}

async fn ready(lab: &Lab, url: &str) -> Story {
    let story = lab.client.prepare("node-1", url).await;
    story.assert_state(WorkspaceState::Ready);
    story
}

#[tokio::test]
async fn a_workspace_is_started_again_after_a_stop_a_crash_of_its_node_and_an_end_by_itself() {
    let mut lab = Lab::new(1).await;
    let repo = app::with_dockerfile(&lab, "beside", BESIDE, HOOKS);
    let story = ready(&lab, &repo.url).await;
    let (id, container) = (&story.workspace.id, &story.workspace.container_id);
    assert_eq!(story.workspace.remote_folder, "/workspaces/beside");
    // The clone hides nothing that the image has beside it.
    assert_eq!(run(&lab.vms[0], &story, "ls /workspaces"), "beside\ntools");
    assert_eq!(run(&lab.vms[0], &story, "cat ../tools/saw"), "sharp");
    run(&lab.vms[0], &story, "echo mine > mine");
    assert_eq!(lab.vms[0].cat(container, "/tmp/runs"), "c\ns");

    let stopped = lab.client.stop(id).await.expect("it is stopped");
    assert_eq!(stopped.state(), WorkspaceState::Stopped);
    assert_eq!(lab.vms[0].docker(&["ps", "--quiet"]), "");
    lab.client
        .start(id)
        .await
        .assert_state(WorkspaceState::Ready);
    assert_eq!(lab.vms[0].cat(container, "/tmp/runs"), "c\ns\ns");
    assert_eq!(run(&lab.vms[0], &story, "cat mine"), "mine");
    // What runs goes on without its agent.
    lab.agents[0].restart();
    lab.client.until_state(id, WorkspaceState::Ready).await;

    lab.vms[0].kill();
    lab.vms[0].restart();
    lab.until_online("node-1").await;
    let stopped = lab.client.until_state(id, WorkspaceState::Stopped).await;
    assert_eq!(stopped.stop_cause(), StopCause::ContainerEnded);
    lab.client
        .start(id)
        .await
        .assert_state(WorkspaceState::Ready);
    assert_eq!(lab.vms[0].cat(container, "/tmp/runs"), "c\ns\ns\ns");
    assert_eq!(run(&lab.vms[0], &story, "cat mine"), "mine");

    lab.vms[0].docker(&["kill", container]);
    let stopped = lab.client.until_state(id, WorkspaceState::Stopped).await;
    let failure = stopped.failure.expect("why");
    assert_eq!(failure.reason(), FailureReason::ContainerGone);
    assert!(failure.message.contains("signal 9"), "{failure:?}");
    let events = lab.client.watch(id, 0).await;
    let ends = events.kinds().filter_map(|kind| match kind {
        Kind::ContainerEnded(ended) => Some(ended.exit_code),
        _ => None,
    });
    assert_eq!(ends.last(), Some(137));
    lab.client
        .start(id)
        .await
        .assert_state(WorkspaceState::Ready);

    lab.client.delete(id).await;
    lab.assert_nothing_left(1).await;
    assert_eq!(
        std::fs::read_dir(lab.agents[0].attempts_dir())
            .expect("a folder")
            .count(),
        0
    );
}

#[tokio::test]
async fn all_services_of_a_project_stop_and_start_in_their_order() {
    let lab = Lab::new(1).await;
    let compose = format!(
        "services:\n  app:\n    image: {base}\n    command: sleep infinity\n    init: true\n    depends_on: [db]\n  \
         db:\n    image: {base}\n    command: sleep infinity\n    init: true\n",
        base = lab.base
    );
    let config = r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/",
        "postStartCommand": "echo s >> /tmp/runs", "waitFor": "postStartCommand" }"#;
    let files = [
        (".devcontainer/devcontainer.json", config),
        (".devcontainer/compose.yml", &*compose),
    ];
    let repo = lab.git.repo("project", &files);
    let story = ready(&lab, &repo.url).await;
    let (id, container) = (&story.workspace.id, &story.workspace.container_id);
    let running = || lab.vms[0].docker(&["ps", "--quiet"]).lines().count();
    assert_eq!(running(), 2);
    lab.client.stop(id).await.expect("it is stopped");
    assert_eq!(running(), 0);
    lab.client
        .start(id)
        .await
        .assert_state(WorkspaceState::Ready);
    assert_eq!(running(), 2);
    assert_eq!(lab.vms[0].cat(container, "/tmp/runs"), "s\ns");
    let started = |service: &str| {
        let filter = format!("label=com.docker.compose.service={service}");
        let of_it = lab.vms[0].docker(&["ps", "--quiet", "--filter", &filter]);
        lab.vms[0].docker(&["inspect", "--format", "{{.State.StartedAt}}", &of_it])
    };
    assert!(started("db") < started("app"));
    lab.client.delete(id).await;
    lab.assert_nothing_left(1).await;
}

/// Files that are not as they were committed, as git on the node sees the clone.
fn changed(clone: &Path) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "safe.directory=*", "-C"])
        .arg(clone)
        .args(["status", "--porcelain"])
        .output()
        .expect("git");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_clone_in_a_folder_of_the_node_is_the_remote_users_and_goes_with_its_workspace() {
    let mut lab = Lab::new(0).await;
    let clones = lab.folder("clones");
    let flag = format!("--workspaces-dir={}", clones.display());
    lab.add_node(&["--workspace-storage=bind", &flag]).await;
    let repo = app::with_dockerfile(&lab, "beside", BESIDE, HOOKS);
    let story = ready(&lab, &repo.url).await;
    let id = &story.workspace.id;
    let clone = clones.join(id).join("beside");
    assert_eq!(run(&lab.vms[0], &story, "cat ../tools/saw"), "sharp");
    assert_eq!(changed(&clone), "");
    run(&lab.vms[0], &story, "echo mine > mine");
    assert_eq!(changed(&clone), "?? mine\n");
    assert_eq!(
        std::fs::read_to_string(clone.join("mine")).expect("a file"),
        "mine\n"
    );

    lab.client.stop(id).await.expect("it is stopped");
    lab.client
        .start(id)
        .await
        .assert_state(WorkspaceState::Ready);
    assert_eq!(run(&lab.vms[0], &story, "cat mine"), "mine");
    // A new attempt fills it again.
    let anew = lab.client.prepare_anew(id).await;
    anew.assert_state(WorkspaceState::Ready);
    assert_eq!(changed(&clone), "");

    lab.client.delete(id).await;
    lab.assert_nothing_left(1).await;
    assert!(!clones.join(id).exists());
}
