//! Workspaces of one node do not meet: neither by their names, nor by what they leave, nor on a network.

use futures_util::future::join_all;
use hearth_api::v1::WorkspaceState;
use hearth_tests::{Lab, git::free_port};

use crate::door::{Way, repo, told};

#[tokio::test]
async fn names_and_ports_of_two_workspaces_do_not_collide() {
    let lab = Lab::new(1).await;
    let port = free_port();
    let properties = format!(
        r#""runArgs": ["--name", "shop-dev", "--hostname", "shop"], "mounts": ["source=shop-data,target=/data,type=volume"],
        "appPort": [{port}], "onCreateCommand": "echo row >> /data/rows; hostname > host.txt""#
    );
    let repository = repo(&lab, "shop", &Way::Properties(&properties));
    let both = join_all([
        lab.client.prepare("node-1", &repository.url),
        lab.client.prepare("node-1", &repository.url),
    ])
    .await;
    let mut without_port = 0;
    for story in &both {
        story.assert_state(WorkspaceState::Ready);
        let id = &story.workspace.container_id;
        assert_eq!(lab.vms[0].cat(id, "/data/rows"), "row");
        assert_eq!(lab.vms[0].cat(id, "/workspaces/shop/host.txt"), "shop");
        without_port += usize::from(told(story).contains(&format!(
            "the port {port} of the node for {port}/tcp is left out: another has it already"
        )));
    }
    assert_eq!(without_port, 1);
    // Its old container and volume are gone before the new ones are made.
    let again = lab.client.prepare_anew(&both[0].workspace.id).await;
    again.assert_state(WorkspaceState::Ready);
    assert_eq!(
        lab.vms[0].cat(&again.workspace.container_id, "/data/rows"),
        "row"
    );
    for story in &both {
        lab.client.delete(&story.workspace.id).await;
    }
    lab.assert_nothing_left(1).await;
}

#[tokio::test]
async fn compose_workspaces_share_nothing_and_leave_nothing() {
    let lab = Lab::new(1).await;
    let base = &lab.base;
    let repository = lab.git.repo(
        "composed",
        &[
            (
                ".devcontainer/devcontainer.json",
                r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/project",
                    "postCreateCommand": "echo row >> /rows/rows.txt; cat /fixed/name 2>/dev/null; echo mine >> /fixed/name" }"#,
            ),
            (".devcontainer/Dockerfile", &format!("FROM {base}\nRUN echo evil > /evil\n")),
            (
                ".devcontainer/compose.yml",
                &format!(
                    "services:\n  app:\n    build: {{context: .}}\n    image: {base}\n    \
                     container_name: composed-app\n    command: sleep infinity\n    volumes: ['..:/project', 'rows:/rows', 'fixed:/fixed']\n    networks: [back]\n  \
                     other:\n    image: {base}\n    command: sleep infinity\n    networks: {{back: {{aliases: [db]}}}}\n\
                     volumes: {{rows: {{}}, fixed: {{name: fixed-name}}}}\nnetworks: {{back: {{name: fixed-net}}}}\n"
                ),
            ),
        ],
    );
    let both = join_all([
        lab.client.prepare("node-1", &repository.url),
        lab.client.prepare("node-1", &repository.url),
    ])
    .await;
    for story in &both {
        story.assert_state(WorkspaceState::Ready);
        let id = &story.workspace.container_id;
        assert_eq!(lab.vms[0].cat(id, "/rows/rows.txt"), "row");
        assert_eq!(lab.vms[0].cat(id, "/fixed/name"), "mine");
        assert!(lab.vms[0].succeeds(&["exec", id, "cat", "/evil"]));
        assert!(
            lab.vms[0].succeeds(&["exec", id, "sh", "-c", "getent hosts db || nslookup db"]),
            "{}",
            told(story)
        );
    }
    // What it builds does not take the place of a base image.
    let vm = &lab.vms[0];
    let plain = repo(&lab, "plain", &Way::Properties(r#""remoteUser": "root""#));
    let other = lab.client.prepare("node-1", &plain.url).await;
    other.assert_state(WorkspaceState::Ready);
    assert!(!vm.succeeds(&["exec", &other.workspace.container_id, "cat", "/evil"]));
    for id in both
        .iter()
        .map(|story| &story.workspace.id)
        .chain([&other.workspace.id])
    {
        lab.client.delete(id).await;
    }
    lab.assert_nothing_left(1).await;
    assert_eq!(
        vm.docker(&["network", "ls", "--quiet", "--filter", "type=custom"]),
        ""
    );
    let images = vm.docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(!images.contains("hearth-ws"), "{images}");
}

#[tokio::test]
async fn containers_of_different_workspaces_do_not_reach_each_other() {
    let lab = Lab::new(1).await;
    let repository = repo(&lab, "app", &Way::Properties(r#""remoteUser": "root""#));
    let server = lab.client.prepare("node-1", &repository.url).await;
    let client = lab.client.prepare("node-1", &repository.url).await;
    let vm = &lab.vms[0];
    let serve = "while :; do echo hello | nc -l -p 7777; done";
    vm.docker(&[
        "exec",
        "--detach",
        &server.workspace.container_id,
        "sh",
        "-c",
        serve,
    ]);
    let address = vm.docker(&[
        "inspect",
        "--format",
        "{{.NetworkSettings.IPAddress}}",
        &server.workspace.container_id,
    ]);
    let ask = format!("nc -w 3 {address} 7777 < /dev/null | grep hello");
    hearth_tests::process::eventually("the server answers within its workspace", || {
        vm.succeeds(&["exec", &server.workspace.container_id, "sh", "-c", &ask])
    })
    .await;
    assert!(!vm.succeeds(&["exec", &client.workspace.container_id, "sh", "-c", &ask]));
}
