//! With `--admin-token-file` clients prove who they are, and may do what their scopes say.

use std::{fs, os::unix::fs::PermissionsExt as _};

use hearth_api::v1::{
    ClientScope, CreateClientRequest, DeleteWorkspaceRequest, GetCallerRequest, HeartbeatRequest,
    IssueCertificateRequest, ListClientsRequest, ListNodesRequest, ListWorkspacesRequest,
    ProbeAccessRequest, RemoveNodeRequest, WatchWorkspaceRequest,
};
use tonic::{Code, Request, Status};

use crate::support::{
    access::{Guarded, wanted},
    agent::FakeAgent,
    logs,
    plane::{Plane, by},
    refusals::{fields, reason},
    soon,
};

const REPOSITORY: &str = "https://github.com/acme/shop";

/// Code and reason of a refusal.
fn refused<T>(answer: Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), reason(&status)),
    }
}

fn unknown() -> (Code, String) {
    (Code::Unauthenticated, "CALLER_UNKNOWN".into())
}

fn not_allowed() -> (Code, String) {
    (Code::PermissionDenied, "NOT_ALLOWED".into())
}

#[tokio::test]
async fn who_proves_nothing_is_let_nowhere_and_is_counted_and_logged_without_the_token() {
    logs::capture();
    let lab = Guarded::start().await;
    let token = lab.client("ci", ClientScope::Read, &[]).await;
    let (caller, mode) = (lab.caller(&token).await, fs::metadata(&lab.token_file));
    assert_eq!(caller.expect("let in").expect("a client").name, "ci");
    assert_eq!(mode.expect("a file").permissions().mode() & 0o777, 0o600);

    let upper = token.to_uppercase();
    let digest = hearth_domain::sha256_hex(&token);
    let near = format!("{}0", &token[..token.len() - 1]);
    let near = if near == token {
        format!("{}1", &token[..token.len() - 1])
    } else {
        near
    };
    for wrong in [
        "",
        "x",
        &upper,
        &digest,
        &near,
        &token[7..],
        "planted-guess",
    ] {
        assert_eq!(refused(lab.caller(wrong).await), unknown(), "{wrong}");
        assert_eq!(refused(lab.prepare(wrong, REPOSITORY).await), unknown());
        // What is asked for does not matter: nobody learns what there is.
        assert_eq!(refused(lab.get(wrong, "ws-none").await), unknown());
    }
    for headers in [
        &[format!("Bearer {token}"), format!("Bearer {token}")][..],
        &["Bearer x".to_owned(), format!("Bearer {token}")],
        &[format!("Basic {token}")],
        std::slice::from_ref(&token),
    ] {
        let mut request = Request::new(GetCallerRequest {});
        for header in headers {
            let value = header.parse().expect("a header");
            request.metadata_mut().append("authorization", value);
        }
        let answer = lab.plane.clients().await.get_caller(request).await;
        assert_eq!(refused(answer), unknown());
    }

    let metrics = lab.plane.admin("/metrics").await;
    let counted = r#"hearth_calls_refused_total{reason="CALLER_UNKNOWN"} 25"#;
    assert!(metrics.contains(counted), "{metrics}");
    let log = logs::captured();
    let line = log.lines().find(|line| line.contains("a call was refused"));
    let line = line.expect("it is logged");
    for told in ["CALLER_UNKNOWN", "ClientService/GetCaller", "127.0.0.1:"] {
        assert!(line.contains(told), "{line}");
    }
    for secret in [&token, &lab.admin, "planted-guess"] {
        assert!(!log.contains(secret), "a token is in the log");
    }
}

#[tokio::test]
async fn a_client_may_do_what_its_scopes_say() {
    let lab = Guarded::start().await;
    let (all, deny) = (
        [
            ClientScope::Read,
            ClientScope::Exec,
            ClientScope::Prepare,
            ClientScope::Admin,
        ],
        not_allowed(),
    );
    let _agent = FakeAgent::join(&lab.plane, "n1").await;
    for (scope, may_prepare, may_all) in [
        (all[0], false, false),
        (all[1], false, false),
        (all[2], true, false),
        (all[3], true, true),
    ] {
        let name = scope.as_str_name().to_lowercase().replace('_', "-");
        let token = lab.client(&name, scope, &[]).await;
        let list = by(&token, ListWorkspacesRequest::default());
        let list = lab.plane.workspaces().await.list_workspaces(list).await;
        assert_eq!(refused(list).0, Code::Ok, "{name}");
        let nodes = by(&token, ListNodesRequest {});
        let nodes = lab.plane.nodes().await.list_nodes(nodes).await;
        assert_eq!(refused(nodes).0, Code::Ok, "{name}");

        let prepared = lab.prepare(&token, REPOSITORY).await;
        let delete = DeleteWorkspaceRequest {
            workspace_id: "ws-none".into(),
            force: false,
        };
        let delete = by(&token, delete);
        let deleted = lab.plane.workspaces().await.delete_workspace(delete).await;
        let probe = by(&token, ProbeAccessRequest::default());
        let probed = lab.plane.cache_service().await.probe_access(probe).await;
        let (prepared, deleted, probed) = (refused(prepared), refused(deleted), refused(probed));
        match may_prepare {
            true => {
                assert_eq!(prepared.0, Code::Ok, "{name}");
                assert_eq!(deleted.1, "WORKSPACE_UNKNOWN", "{name}");
                assert_eq!(probed.1, "INVALID_FIELD", "{name}");
            }
            false => assert_eq!(
                [prepared, deleted, probed],
                [(); 3].map(|()| deny.clone()),
                "{name}"
            ),
        }

        let remove = RemoveNodeRequest {
            name: "n7".into(),
            force: true,
        };
        let removed = lab
            .plane
            .nodes()
            .await
            .remove_node(by(&token, remove))
            .await;
        let clients = by(&token, ListClientsRequest::default());
        let listed = lab.plane.clients().await.list_clients(clients).await;
        let made = wanted("x", ClientScope::Admin, &[]);
        let made = lab
            .plane
            .clients()
            .await
            .create_client(by(&token, made))
            .await;
        let (removed, listed, made) = (refused(removed), refused(listed), refused(made));
        match may_all {
            true => {
                assert_eq!(removed.1, "NODE_UNKNOWN", "{name}");
                assert_eq!([listed.0, made.0], [Code::Ok; 2], "{name}");
            }
            false => assert_eq!(
                [removed, listed, made],
                [(); 3].map(|()| deny.clone()),
                "{name}"
            ),
        }
    }
    let token = lab.client("reader", ClientScope::Read, &[]).await;
    let refusal = lab
        .prepare(&token, REPOSITORY)
        .await
        .expect_err("a refusal");
    let told = "client reader may not call WorkspaceService/PrepareWorkspace: that needs the scope prepare, and it has read";
    assert!(refusal.message().starts_with(told), "{refusal:?}");
}

#[tokio::test]
async fn the_calls_of_agents_need_a_session_and_those_of_clients_a_client() {
    let lab = Guarded::start().await;
    let agent = FakeAgent::start("n1").await;
    let session = agent.register(&lab.plane, &[]).await.session_token;
    assert!(agent.heartbeat(&lab.plane).await);
    assert_eq!(refused(lab.caller(&session).await), unknown());
    let beat = by(&lab.admin, HeartbeatRequest::default());
    let beat = lab.plane.registry().await.heartbeat(beat).await;
    assert_eq!(refused(beat).1, "SESSION_UNKNOWN");
    let metrics = lab.plane.admin("/metrics").await;
    let counted = r#"hearth_calls_refused_total{reason="SESSION_UNKNOWN"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn an_open_stream_ends_when_its_client_is_revoked_or_expires_and_others_go_on() {
    let lab = Guarded::start().await;
    let _agent = FakeAgent::join(&lab.plane, "n1").await;
    let id = lab.workspace(&lab.admin, REPOSITORY).await;
    let revoked = lab.client("revoked", ClientScope::Read, &[]).await;
    let short = CreateClientRequest {
        valid_seconds: 5,
        ..wanted("short", ClientScope::Read, &[])
    };
    let short = lab.create(short).await;
    let ends = short.client.and_then(|client| client.expire_time);
    assert!(ends.is_some());
    let mut streams = Vec::new();
    for token in [&revoked, &short.token, &lab.admin] {
        let watch = WatchWorkspaceRequest {
            workspace_id: id.clone(),
            ..WatchWorkspaceRequest::default()
        };
        let mut workspaces = lab.plane.workspaces().await;
        let stream = workspaces.watch_workspace(by(token, watch)).await;
        let mut stream = stream.expect("a stream").into_inner();
        stream
            .message()
            .await
            .expect("no failure")
            .expect("a snapshot");
        streams.push(stream);
    }
    lab.revoke("revoked").await.expect("a revocation");
    for (stream, name) in streams.iter_mut().zip(["revoked", "short"]) {
        let ended = soon("the end of a stream", async {
            loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it ended as if it were complete"),
                    Err(status) => return status,
                }
            }
        });
        let status = ended.await;
        assert_eq!((status.code(), reason(&status)), unknown());
        assert!(status.message().contains(name), "{status:?}");
    }
    for token in [&revoked, &short.token] {
        assert_eq!(refused(lab.caller(token).await), unknown());
    }
    // That of the admin goes on: it tells of the deletion.
    let delete = DeleteWorkspaceRequest {
        workspace_id: id,
        force: true,
    };
    let delete = by(&lab.admin, delete);
    let deleted = lab.plane.workspaces().await.delete_workspace(delete).await;
    deleted.expect("a deletion");
    let end = async { while streams[2].message().await.expect("no failure").is_some() {} };
    soon("the end of the workspace", end).await;
}

#[tokio::test]
async fn clients_outlive_a_restart_and_a_name_is_given_once() {
    let lab = Guarded::start().await;
    let ci = lab
        .client("ci", ClientScope::Prepare, &["github.com/acme/*"])
        .await;
    let gone = lab.client("gone", ClientScope::Read, &[]).await;
    assert!(ci.starts_with("hearth_") && ci.len() == 71, "{}", ci.len());
    lab.caller(&ci).await.expect("let in");
    lab.revoke("gone").await.expect("a revocation");
    let again = lab.revoke("gone").await;
    assert_eq!(refused(again), (Code::NotFound, "TOKEN_UNKNOWN".into()));
    let lab = lab.restart().await;
    let client = lab.caller(&ci).await.expect("let in").expect("a client");
    assert_eq!(client.scopes, [i32::from(ClientScope::Prepare)]);
    assert_eq!(client.repositories, ["github.com/acme/*"]);
    assert!(client.create_time.is_some() && client.expire_time.is_none());
    assert_eq!(refused(lab.caller(&gone).await), unknown());
    for name in ["ci", "gone", "admin-token-file"] {
        let request = wanted(name, ClientScope::Read, &[]);
        let mut clients = lab.plane.clients().await;
        let made = clients.create_client(by(&lab.admin, request)).await;
        let taken = (Code::AlreadyExists, "NAME_IN_USE".to_owned());
        assert_eq!(refused(made), taken, "{name}");
    }
}

#[tokio::test]
async fn clients_are_listed_in_pages_without_their_tokens() {
    let lab = Guarded::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        lab.client(name, ClientScope::Read, &[]).await;
    }
    lab.revoke("c").await.expect("a revocation");
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListClientsRequest {
            page_size: 2,
            page_token,
        };
        let mut clients = lab.plane.clients().await;
        let page = clients.list_clients(by(&lab.admin, request)).await;
        let page = page.expect("a page").into_inner();
        assert!(
            page.clients
                .iter()
                .all(|client| client.last_use_time.is_none())
        );
        names.push(
            page.clients
                .into_iter()
                .map(|client| client.name)
                .collect::<String>(),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["ed", "ba"]);
}

#[tokio::test]
async fn malformed_clients_are_refused_by_their_fields() {
    let lab = Guarded::start().await;
    let good = || wanted("ci", ClientScope::Read, &[]);
    let table: [(&str, CreateClientRequest); 9] = [
        (
            "name",
            CreateClientRequest {
                name: "A b".into(),
                ..good()
            },
        ),
        (
            "name",
            CreateClientRequest {
                name: String::new(),
                ..good()
            },
        ),
        (
            "scopes",
            CreateClientRequest {
                scopes: Vec::new(),
                ..good()
            },
        ),
        (
            "scopes",
            CreateClientRequest {
                scopes: vec![0],
                ..good()
            },
        ),
        (
            "scopes",
            CreateClientRequest {
                scopes: vec![1, 99],
                ..good()
            },
        ),
        (
            "repositories",
            wanted("ci", ClientScope::Read, &["https://github.com/a/b"]),
        ),
        ("repositories", wanted("ci", ClientScope::Read, &[""])),
        (
            "repositories",
            wanted("ci", ClientScope::Admin, &["github.com/acme/*"]),
        ),
        (
            "valid_seconds",
            CreateClientRequest {
                valid_seconds: u32::MAX,
                ..good()
            },
        ),
    ];
    for (field, request) in table {
        let shown = format!("{request:?}");
        let mut clients = lab.plane.clients().await;
        let made = clients.create_client(by(&lab.admin, request)).await;
        assert_eq!(fields(&made.expect_err(&shown)), [field], "{shown}");
    }
}

#[tokio::test]
async fn the_file_of_the_admin_token_is_followed_and_a_broken_one_changes_nothing() {
    let lab = Guarded::start().await;
    logs::capture();
    let own = "a-token-of-the-operator's-own-choice";
    fs::write(&lab.token_file, "short").expect("a file");
    let file = lab.token_file.display().to_string();
    let is_told = |line: &str| line.contains("the one before stays valid") && line.contains(&file);
    let told = async {
        while !logs::captured().lines().any(is_told) {
            tokio::task::yield_now().await;
        }
    };
    soon("a warning", told).await;
    lab.caller(&lab.admin).await.expect("the one before");
    assert_eq!(refused(lab.caller("short").await), unknown());
    fs::write(&lab.token_file, format!("{own}\n")).expect("a file");
    soon("the new token", async {
        while lab.caller(own).await.is_err() {}
    })
    .await;
    assert_eq!(refused(lab.caller(&lab.admin).await), unknown());
    fs::remove_file(&lab.token_file).expect("a file");
    lab.caller(own).await.expect("the one before");
    // A start makes another one.
    let lab = lab.restart().await;
    assert_eq!(refused(lab.caller(own).await), unknown());
}

#[tokio::test]
async fn without_a_ca_there_are_no_certificates_and_without_checks_there_is_no_client() {
    let lab = Guarded::start().await;
    let token = lab.client("ci", ClientScope::Read, &[]).await;
    let request = by(&token, IssueCertificateRequest::default());
    let issued = lab.plane.clients().await.issue_certificate(request).await;
    let status = issued.expect_err("a refusal");
    let expected = (
        Code::FailedPrecondition,
        "NO_CERTIFICATE_AUTHORITY".to_owned(),
    );
    assert_eq!((status.code(), reason(&status)), expected);

    let open = Plane::fresh(&[]).await;
    for token in ["", "whatever"] {
        let mut clients = open.clients().await;
        let answer = clients.get_caller(by(token, GetCallerRequest {})).await;
        assert_eq!(answer.expect("let in").into_inner().client, None);
    }
}
