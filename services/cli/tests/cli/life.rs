//! Stopping, starting and renewing workspaces, and finding them.

use hearth_api::v1::{
    Lifetime, ListWorkspacesRequest, ListWorkspacesResponse, RenewWorkspaceRequest,
    StartWorkspaceRequest, StopCause, StopWorkspaceRequest, TtlAction, WatchUntil, Workspace,
    WorkspaceState, start_workspace_response::Message,
};

use crate::{
    story::{ID, story, workspace},
    support::{Answer, Call, ControlPlane, End, run},
};

fn stopped() -> Workspace {
    Workspace {
        stop_cause: StopCause::Requested.into(),
        owner: "ann".into(),
        labels: [("team".to_owned(), "web".to_owned())].into(),
        lifetime: Some(Lifetime {
            ttl_seconds: Some(3600),
            idle_timeout_seconds: Some(600),
            ttl_action: TtlAction::Delete.into(),
        }),
        failure: None,
        ..workspace(WorkspaceState::Stopped, 8)
    }
}

#[tokio::test]
async fn stop_waits_for_the_end_and_says_how_to_start_again() {
    let plane = ControlPlane::start([Answer::Lives(Box::new(stopped()))]).await;
    let ended = run(plane.hearth(&["stop", ID])).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let text = ended.stdout;
    assert!(
        text.starts_with("STOPPED (requested): sample-1 on node-1\n"),
        "{text}"
    );
    for line in [
        "  owner      ann",
        "  labels     team=web",
        "  lifetime   deleted 3600 s after it was prepared, started or renewed; stopped after 600 s without use",
        "  start      hearth start sample-1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("docker exec"), "nobody can enter it: {text}");
    let asked = StopWorkspaceRequest {
        workspace_id: ID.into(),
    };
    assert_eq!(plane.calls(), [Call::Stop(asked)]);
}

#[tokio::test]
async fn start_follows_the_log_until_the_workspace_is_ready() {
    let mut messages = vec![Message::Snapshot(workspace(WorkspaceState::Pending, 0))];
    messages.extend(story(WorkspaceState::Ready).into_iter().map(Message::Event));
    let plane = ControlPlane::start([
        Answer::Start(messages, End::Well),
        Answer::Get(Box::new(workspace(WorkspaceState::Ready, 6))),
    ])
    .await;
    let ended = run(plane.hearth(&["start", ID, "--until", "ready"])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("READY after 5.0 s"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stdout.starts_with("READY in 9.0 s"),
        "{}",
        ended.stdout
    );
    let asked = StartWorkspaceRequest {
        workspace_id: ID.into(),
        until: WatchUntil::Ready.into(),
    };
    assert_eq!(plane.calls()[0], Call::Start(asked));
}

#[tokio::test]
async fn renew_changes_only_what_is_asked_for() {
    let plane = ControlPlane::start([Answer::Lives(Box::new(stopped()))]).await;
    let ended = run(plane.hearth(&["renew", ID, "--idle-timeout", "0"])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let asked = RenewWorkspaceRequest {
        workspace_id: ID.into(),
        lifetime: Some(Lifetime {
            idle_timeout_seconds: Some(0),
            ..Lifetime::default()
        }),
    };
    assert_eq!(plane.calls(), [Call::Renew(asked)]);
}

#[tokio::test]
async fn ls_asks_for_what_is_looked_for_and_shows_why_a_workspace_is_stopped() {
    let page = ListWorkspacesResponse {
        workspaces: vec![stopped()],
        next_page_token: String::new(),
    };
    let plane = ControlPlane::start([Answer::List(page)]).await;
    let ended = run(plane.hearth(&[
        "ls", "--wide", "--label", "team=web", "--owner", "ann", "--state", "stopped", "--state",
        "READY", "--node", "node-1",
    ]))
    .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("STOPPED (requested)"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("ann    team=web"), "{}", ended.stdout);
    let asked = ListWorkspacesRequest {
        page_size: 1000,
        states: vec![WorkspaceState::Stopped.into(), WorkspaceState::Ready.into()],
        node: "node-1".into(),
        owner: "ann".into(),
        labels: [("team".to_owned(), "web".to_owned())].into(),
        ..ListWorkspacesRequest::default()
    };
    assert_eq!(plane.calls(), [Call::List(asked)]);
}
