use hearth_api::v1::{
    ConfigKind, DeleteWorkspaceRequest, DevcontainerConfig, ListConfigsRequest,
    ListConfigsResponse, ListNodesResponse, ListWorkspacesRequest, ListWorkspacesResponse, Node,
    NodeState, QuarantinedWorkspace, RemoveNodeRequest, RemoveQuarantinedRequest, WorkspaceState,
};
use hearth_runtime::{Reason, status};

use crate::{
    story::{ID, workspace},
    support::{Answer, Call, ControlPlane, hearth, run},
};

#[tokio::test]
async fn ls_pages_through_everything() {
    let ready = WorkspaceState::Ready;
    let pages = || {
        [("", "page-2"), ("page-2", "")].map(|(_, next)| {
            Answer::List(ListWorkspacesResponse {
                workspaces: vec![workspace(ready, 6)],
                next_page_token: next.into(),
            })
        })
    };
    let asked = ["", "page-2"].map(|token| {
        Call::List(ListWorkspacesRequest {
            page_size: 1000,
            page_token: token.into(),
            ..ListWorkspacesRequest::default()
        })
    });

    let plane = ControlPlane::start(pages()).await;
    let ended = run(plane.hearth(&["ls"])).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("ID        STATE  NODE    REPOSITORY"),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("sample-1  READY  node-1  https://"),
        "{lines:?}"
    );
    assert_eq!(plane.calls(), asked);

    let plane = ControlPlane::start(pages()).await;
    let ended = run(plane.hearth(&["ls", "--output", "json"])).await;
    let ids: Vec<_> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|workspace| workspace["id"] == ID)
        .collect();
    assert_eq!(ids, [true, true]);
    assert_eq!(plane.calls(), asked);
}

#[tokio::test]
async fn get_shows_one_workspace() {
    let answer = || Answer::Get(Box::new(workspace(WorkspaceState::Ready, 6)));
    let plane = ControlPlane::start([answer(), answer()]).await;
    let text = run(plane.hearth(&["get", ID])).await;
    assert!(
        text.stdout
            .starts_with("READY in 9.0 s: sample-1 on node-1\n")
    );
    let json = run(plane.hearth(&["get", ID, "--output", "json"])).await;
    let parsed: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(parsed["state"], "WORKSPACE_STATE_READY");
    assert_eq!((text.code, json.code), (Some(0), Some(0)));
}

#[tokio::test]
async fn nodes_are_listed() {
    let answer = || {
        Answer::Nodes(ListNodesResponse {
            nodes: vec![Node {
                name: "node-\u{1b}[7m1".into(),
                state: NodeState::Lost.into(),
                workspaces: 3,
                ..Default::default()
            }],
            ..Default::default()
        })
    };
    let plane = ControlPlane::start([answer(), answer()]).await;
    let text = run(plane.hearth(&["nodes"])).await;
    assert!(text.stdout.contains("\nnode-1  LOST "), "{}", text.stdout);
    let json = run(plane.hearth(&["--output", "json", "nodes"])).await;
    assert!(
        json.stdout.contains(r#""state":"NODE_STATE_LOST""#),
        "{}",
        json.stdout
    );
    assert_eq!(plane.calls(), [Call::Nodes, Call::Nodes]);
}

#[tokio::test]
async fn a_node_is_removed_by_its_name() {
    let why = "node node-1 is online; stop its agent first";
    let refusal = Answer::Refuse(status(Reason::NodeInUse, why));
    let plane = ControlPlane::start([refusal, Answer::NodeRemoved]).await;
    let refused = run(plane.hearth(&["nodes", "rm", "node-1"])).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    let removed = run(plane.hearth(&["nodes", "rm", "node-1", "--force"])).await;
    assert_eq!(
        (removed.code, removed.stdout.as_str()),
        (Some(0), "removed node-1\n")
    );
    let asked = [false, true].map(|force| {
        Call::RemoveNode(RemoveNodeRequest {
            name: "node-1".into(),
            force,
        })
    });
    assert_eq!(plane.calls(), asked);
}

#[tokio::test]
async fn workspaces_in_quarantine_are_removed_by_their_ids_or_all_of_them() {
    let quarantined = |ids: &[&str]| {
        let quarantined = ids.iter().map(|&id| QuarantinedWorkspace {
            workspace_id: id.into(),
            ..Default::default()
        });
        Answer::Nodes(ListNodesResponse {
            nodes: vec![Node {
                name: "node-1".into(),
                quarantined: quarantined.collect(),
                ..Default::default()
            }],
            ..Default::default()
        })
    };
    let why = "workspace ws-9 is not in quarantine on node node-1";
    let plane = ControlPlane::start([
        Answer::Refuse(status(Reason::WorkspaceUnknown, why)),
        Answer::Discarded,
        quarantined(&["ws-1", "ws-2"]),
        Answer::Discarded,
        quarantined(&[]),
    ])
    .await;
    let discard = async |arguments: &[&str]| {
        let all = [&["nodes", "discard", "node-1"], arguments].concat();
        run(plane.hearth(&all)).await
    };
    let refused = discard(&["ws-9"]).await;
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    for (arguments, told) in [
        (&["ws-3"][..], "removed from node-1: ws-3\n"),
        (&["--all"], "removed from node-1: ws-1, ws-2\n"),
        (&["--all"], "nothing is in quarantine on node-1\n"),
    ] {
        let done = discard(arguments).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), told));
    }
    assert_eq!(discard(&[]).await.code, Some(64), "nothing by accident");
    let asked = |ids: &[&str]| {
        Call::Discard(RemoveQuarantinedRequest {
            node: "node-1".into(),
            workspace_ids: ids.iter().map(ToString::to_string).collect(),
        })
    };
    let calls = [
        asked(&["ws-9"]),
        asked(&["ws-3"]),
        Call::Nodes,
        asked(&["ws-1", "ws-2"]),
        Call::Nodes,
    ];
    assert_eq!(plane.calls(), calls);
}

#[tokio::test]
async fn rm_deletes_and_reports_a_node_that_does_not_answer() {
    let plane = ControlPlane::start([
        Answer::Refuse(status(Reason::NodeUnavailable, "node-1 does not answer")),
        Answer::Deleted,
    ])
    .await;
    let refused = run(plane.hearth(&["rm", ID])).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("reason NODE_UNAVAILABLE"),
        "{}",
        refused.stderr
    );
    let removed = run(plane.hearth(&["rm", ID, "--force"])).await;
    assert_eq!(
        (removed.code, removed.stdout.as_str()),
        (Some(0), "removed sample-1\n")
    );
    let asked = [false, true].map(|force| {
        Call::Delete(DeleteWorkspaceRequest {
            workspace_id: ID.into(),
            force,
        })
    });
    assert_eq!(plane.calls(), asked);
}

#[tokio::test]
async fn help_explains_the_exit_codes_and_wrong_usage_has_its_own() {
    let help = run(hearth("", &["--help"])).await;
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("Exit codes:") && help.stdout.contains("69  the control plane"));
    for wrong in [
        &["up"][..],
        &["up", "a", "--cache", "maybe"],
        &["dance"],
        &[],
    ] {
        let ended = run(hearth("http://127.0.0.1:1", wrong)).await;
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(64), ""),
            "{wrong:?}"
        );
    }
    let ended = run(hearth("http://plane.example", &["ls"])).await;
    assert_eq!(ended.code, Some(64));
    assert!(
        ended.stderr.contains("HEARTH_CONTROL_PLANE"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn configurations_of_a_repository_are_listed() {
    const REPOSITORY: &str = "https://git.example/team/sample";
    let listed = ListConfigsResponse {
        commit: "1".repeat(40),
        configs: vec![DevcontainerConfig {
            config: "services/api".into(),
            path: "services/api/.devcontainer.json".into(),
            kind: ConfigKind::Dockerfile.into(),
            ..DevcontainerConfig::default()
        }],
        used: None,
    };
    let answers = [listed.clone(), listed].map(Answer::ListConfigs);
    let plane = ControlPlane::start(answers).await;
    let text = run(plane.hearth(&["configs", REPOSITORY, "--ref", "main"])).await;
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = text.stdout.lines().collect();
    assert!(
        lines[1].starts_with("services/api  dockerfile"),
        "{lines:?}"
    );
    assert_eq!(lines[2], "without --config: the default image");
    let json = run(plane.hearth(&["configs", REPOSITORY, "--output", "json"])).await;
    let parsed: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(parsed["configs"][0]["kind"], "CONFIG_KIND_DOCKERFILE");
    let asked = ["main", ""].map(|git_ref| {
        Call::ListConfigs(ListConfigsRequest {
            repository: REPOSITORY.into(),
            r#ref: git_ref.into(),
        })
    });
    assert_eq!(plane.calls(), asked);
}
