//! A malformed request is refused by the names of its fields.

use hearth_api::v1::{
    GetWorkspaceRequest, ListWorkspacesRequest, PrepareWorkspaceRequest, RegisterRequest,
    WorkspaceSpec,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    agent::FakeAgent,
    plane::{Plane, shop},
    refusals,
    start::with_agent,
};

fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().expect("error info");
    assert_eq!(
        (info.domain.as_str(), info.reason.as_str()),
        ("hearth", "INVALID_FIELD")
    );
    refusals::fields(status)
}

#[tokio::test]
async fn all_faults_of_a_request_are_named_at_once_and_nothing_is_made() {
    let (plane, agent) = with_agent(&[]).await;
    let request = PrepareWorkspaceRequest {
        request_id: "x".repeat(129),
        spec: Some(WorkspaceSpec {
            repository: "https://user:planted@github.com/acme/shop".into(),
            r#ref: "a..b".into(),
            config: "../etc".into(),
            timeout_seconds: 99_999,
            ..WorkspaceSpec::default()
        }),
        ..PrepareWorkspaceRequest::default()
    };
    let status = plane.try_prepare(request).await.err().expect("a refusal");
    assert_eq!(
        fields(&status),
        [
            "request_id",
            "spec.repository",
            "spec.ref",
            "spec.config",
            "spec.timeout_seconds"
        ]
    );
    assert!(!format!("{status:?}").contains("planted"));
    let page = plane
        .workspaces()
        .await
        .list_workspaces(ListWorkspacesRequest::default())
        .await;
    assert_eq!(page.expect("a page").into_inner().workspaces, []);
    assert_eq!(agent.starts(), 0);
}

#[tokio::test]
async fn malformed_ids_and_tokens_are_named() {
    let plane = Plane::fresh(&[]).await;
    let mut client = plane.workspaces().await;
    let status = client.get_workspace(GetWorkspaceRequest::default()).await;
    assert_eq!(fields(&status.expect_err("a refusal")), ["workspace_id"]);
    let request = ListWorkspacesRequest {
        page_token: "third".into(),
        ..ListWorkspacesRequest::default()
    };
    let status = client.list_workspaces(request).await;
    assert_eq!(fields(&status.expect_err("a refusal")), ["page_token"]);
    let status = plane.get("ws-none").await.expect_err("a refusal");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn an_agent_with_a_bad_name_or_boot_id_does_not_get_in() {
    let plane = Plane::fresh(&[]).await;
    let agent = FakeAgent::start("n1").await;
    assert!(!agent.heartbeat(&plane).await, "it is not known yet");
    let mut info = agent.info();
    info.boot_id = String::new();
    let request = RegisterRequest {
        node: "Node 1".into(),
        info: Some(info),
        workspace_ids: Vec::new(),
    };
    let status = plane.registry().await.register(request).await;
    assert_eq!(
        fields(&status.expect_err("a refusal")),
        ["node", "info.boot_id"]
    );
}

#[tokio::test]
async fn a_list_comes_in_pages_newest_first() {
    let (plane, _agent) = with_agent(&[]).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(plane.prepare(shop()).await.id().to_owned());
    }
    made.reverse();
    let (mut listed, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = ListWorkspacesRequest {
            page_size: 2,
            page_token: token,
            ..ListWorkspacesRequest::default()
        };
        let page = plane.workspaces().await.list_workspaces(request).await;
        let page = page.expect("a page").into_inner();
        listed.extend(page.workspaces.into_iter().map(|workspace| workspace.id));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((listed, pages), (made, 3));
}
