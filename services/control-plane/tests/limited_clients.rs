//! A client that is limited to repositories works with these, and learns nothing of others.

use hearth_api::v1::{
    ClientScope, DeleteWorkspaceRequest, ExplainRefRequest, ExplainWorkspaceRequest,
    GetStatsRequest, HeartbeatRequest, InvalidateEntryRequest, ListEntriesRequest,
    ListNodesRequest, ListWorkspacesRequest, PrepareWorkspaceRequest, ProbeAccessRequest,
    QuarantinedWorkspace, VerifyCacheRequest, WatchWorkspaceRequest,
};
use tonic::{Code, Status};

use crate::support::{access::Guarded, agent::FakeAgent, cache, plane::by, refusals::reason};

const OWN: &str = "https://github.com/acme/shop";
const OTHER: &str = "https://github.com/evil/shop";

/// What a client is told, if not what it asked for.
fn refusal<T>(answer: Result<T, Status>) -> Option<(Code, String, String)> {
    let status = answer.err()?;
    Some((status.code(), reason(&status), status.message().to_owned()))
}

#[tokio::test]
async fn it_prepares_its_own_repositories_by_every_url_and_no_others() {
    let lab = Guarded::start().await;
    let _agent = FakeAgent::join(&lab.plane, "n1").await;
    let token = lab
        .client("acme", ClientScope::Prepare, &["github.com/acme/*"])
        .await;
    for own in [
        OWN,
        "https://github.com/acme/shop.git",
        "https://GitHub.com/Acme/SHOP/",
        "git@github.com:acme/shop.git",
        "ssh://git@github.com/acme/other",
    ] {
        lab.prepare(&token, own).await.expect(own);
    }
    for other in [
        OTHER,
        "https://github.com/acme2/shop",
        "git@github.com:evil/acme.git",
        "ssh://acme@github.com/evil/shop",
        "https://github.com:8443/acme/shop",
        "https://github.com.evil.example/acme/shop",
        "https://evil.example/github.com/acme/shop",
    ] {
        let refused = refusal(lab.prepare(&token, other).await);
        let (code, reason, message) = refused.expect(other);
        assert_eq!(
            (code, &*reason),
            (Code::PermissionDenied, "NOT_ALLOWED"),
            "{other}"
        );
        let told = "client acme is limited to the repositories github.com/acme/*, and ";
        assert!(message.starts_with(told), "{message}");
    }
    let malformed = refusal(lab.prepare(&token, "file:///etc").await);
    assert_eq!(malformed.expect("a refusal").1, "INVALID_FIELD");
}

#[tokio::test]
async fn a_workspace_of_another_repository_is_as_one_that_does_not_exist() {
    let lab = Guarded::start().await;
    let agent = FakeAgent::join(&lab.plane, "n1").await;
    let token = lab
        .client("acme", ClientScope::Prepare, &["github.com/acme/*"])
        .await;
    let (own, other) = (
        lab.workspace(&lab.admin, OWN).await,
        lab.workspace(&lab.admin, OTHER).await,
    );
    agent.started(&other, 1).await;
    lab.get(&token, &own).await.expect("its own");
    let mut answers = Vec::new();
    for id in [&*other, "ws-none"] {
        let mut workspaces = lab.plane.workspaces().await;
        let watch = WatchWorkspaceRequest {
            workspace_id: id.into(),
            ..WatchWorkspaceRequest::default()
        };
        let again = PrepareWorkspaceRequest {
            workspace_id: id.into(),
            // Ignored: the workspace keeps its own.
            spec: Some(hearth_api::v1::WorkspaceSpec {
                repository: OWN.into(),
                ..Default::default()
            }),
            ..PrepareWorkspaceRequest::default()
        };
        let delete = DeleteWorkspaceRequest {
            workspace_id: id.into(),
            force: true,
        };
        let explain = ExplainWorkspaceRequest {
            workspace_id: id.into(),
        };
        let mut cache = lab.plane.cache_service().await;
        let answer = [
            refusal(lab.get(&token, id).await),
            refusal(workspaces.watch_workspace(by(&token, watch)).await),
            refusal(workspaces.prepare_workspace(by(&token, again)).await),
            refusal(workspaces.delete_workspace(by(&token, delete)).await),
            refusal(cache.explain_workspace(by(&token, explain)).await),
        ];
        answers.push(answer.map(|answer| {
            let (code, reason, message) = answer.expect("a refusal");
            assert_eq!((code, &*reason), (Code::NotFound, "WORKSPACE_UNKNOWN"));
            message.replace(id, "ID")
        }));
    }
    assert_eq!(answers[0], answers[1]);
    // It is still there.
    lab.get(&lab.admin, &other).await.expect("the workspace");
}

#[tokio::test]
async fn lists_have_its_own_workspaces_alone_on_full_pages() {
    let lab = Guarded::start().await;
    let _agent = FakeAgent::join(&lab.plane, "n1").await;
    let token = lab
        .client("acme", ClientScope::Read, &["github.com/acme/*"])
        .await;
    let mut own = Vec::new();
    for repository in [OWN, OTHER, OTHER, OWN, OTHER, OWN, OTHER] {
        let id = lab.workspace(&lab.admin, repository).await;
        if repository == OWN {
            own.insert(0, id);
        }
    }
    for page_size in [1, 2, 3, 100] {
        let (mut pages, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListWorkspacesRequest {
                page_size,
                page_token,
                ..ListWorkspacesRequest::default()
            };
            let mut workspaces = lab.plane.workspaces().await;
            let page = workspaces.list_workspaces(by(&token, request)).await;
            let page = page.expect("a page").into_inner();
            let ids = page.workspaces.into_iter().map(|workspace| workspace.id);
            pages.push(ids.collect::<Vec<_>>());
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let expected: Vec<_> = own.chunks(page_size as usize).collect();
        assert_eq!(pages, expected, "{page_size}");
    }
}

#[tokio::test]
async fn of_the_cache_and_the_nodes_it_sees_what_is_its_own() {
    let lab = Guarded::start().await;
    let agent = FakeAgent::start("n1").await;
    let session = agent.register(&lab.plane, &[]).await.session_token;
    let own = lab
        .client("acme", ClientScope::Prepare, &["github.com/acme/*"])
        .await;
    let evil = lab
        .client("evil", ClientScope::Prepare, &["github.com/evil/*"])
        .await;
    let id = lab.workspace(&lab.admin, OWN).await;
    agent.started(&id, 1).await;
    let entry = cache::entry(&cache::dockerfile("FROM a"), "an image");
    let committed = cache::commit(&lab.plane, &id, 1, entry).await;
    committed.expect("a commit");
    let mut service = lab.plane.cache_service().await;
    for (token, expected) in [(&own, 1), (&evil, 0), (&lab.admin, 1)] {
        let request = by(token, ListEntriesRequest::default());
        let entries = service.list_entries(request).await;
        let entries = entries.expect("entries").into_inner().entries;
        assert_eq!(entries.len(), expected);
        let stats = service.get_stats(by(token, GetStatsRequest {})).await;
        let stats = stats.expect("numbers").into_inner();
        let total = stats.total.expect("a total");
        assert_eq!(stats.repositories.len(), expected);
        assert_eq!(total.entries, expected as u64);
    }

    let repository = || OWN.to_owned();
    for (token, is_denied) in [(&evil, true), (&own, false)] {
        let list = ListEntriesRequest {
            repository: repository(),
            ..ListEntriesRequest::default()
        };
        let explain = ExplainRefRequest {
            repository: repository(),
            ..ExplainRefRequest::default()
        };
        let verify = VerifyCacheRequest {
            repository: repository(),
            ..VerifyCacheRequest::default()
        };
        let invalidate = InvalidateEntryRequest {
            repository: repository(),
            ..InvalidateEntryRequest::default()
        };
        let answers = [
            refusal(service.list_entries(by(token, list)).await),
            refusal(service.explain_ref(by(token, explain)).await),
            refusal(service.verify_cache(by(token, verify)).await),
            refusal(service.invalidate_entry(by(token, invalidate)).await),
        ];
        for answer in answers {
            let reason = answer.map(|(_, reason, _)| reason);
            let denied = reason.as_deref() == Some("NOT_ALLOWED");
            assert_eq!(denied, is_denied, "{reason:?}");
        }
    }
    let probe = ProbeAccessRequest {
        repository: repository(),
        ..ProbeAccessRequest::default()
    };
    let probed = refusal(service.probe_access(by(&evil, probe)).await);
    assert_eq!(probed.expect("a refusal").1, "NOT_ALLOWED");

    let beat = HeartbeatRequest {
        node: "n1".into(),
        boot_id: agent.boot_id.clone(),
        quarantined: vec![QuarantinedWorkspace {
            workspace_id: "ws-elsewhere".into(),
            ..QuarantinedWorkspace::default()
        }],
        ..HeartbeatRequest::default()
    };
    let mut registry = lab.plane.registry().await;
    let beat = registry.heartbeat(by(&session, beat)).await;
    beat.expect("a heartbeat");
    for (token, expected) in [(&own, 0), (&lab.admin, 1)] {
        let mut nodes = lab.plane.nodes().await;
        let listed = nodes.list_nodes(by(token, ListNodesRequest {})).await;
        let listed = listed.expect("nodes").into_inner().nodes;
        assert_eq!((listed.len(), listed[0].quarantined.len()), (1, expected));
    }
}
