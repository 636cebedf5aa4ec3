//! Logins are for the agent of the workspace's node, which authenticates with the token of its registration.

use hearth_api::v1::{
    CommitBuildCacheRequest, CommitCacheRequest, DeregisterRequest, DropCacheRequest,
    FindBuildCacheRequest, FindNeighboursRequest, HeartbeatRequest, NodeState,
    RefreshCredentialsRequest, ResolveCacheRequest,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    agent::{FakeAgent, Removal},
    cache,
    logins::{LoginLab, question, token, try_ask},
    plane::{again, by, shop},
    refusals::reason,
    start::with_agent,
};

async fn refused(
    lab: &LoginLab,
    session: &str,
    question: RefreshCredentialsRequest,
) -> (Code, String) {
    let status = try_ask(&lab.plane, session, question).await;
    let status = status.expect_err("a refusal");
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    (status.code(), reason.unwrap_or_default())
}

#[tokio::test]
async fn only_the_agent_of_the_workspaces_node_gets_logins() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let other = FakeAgent::start("n2").await;
    let other = other.register(&lab.plane, &[]).await.session_token;
    assert_ne!(other, lab.session);
    assert!(other.len() == 64 && other.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let unknown = (Code::Unauthenticated, "SESSION_UNKNOWN".to_owned());
    let digest = hearth_domain::sha256_hex(&lab.session);
    for session in ["", "x", &other, &digest, &lab.session[1..]] {
        assert_eq!(
            refused(&lab, session, question(&id)).await,
            unknown,
            "{session}"
        );
        // Neither does it learn which workspaces there are.
        if session != other {
            assert_eq!(refused(&lab, session, question("ws-none")).await, unknown);
        }
    }
    token(&lab.ask(&id).await);
    assert_eq!(lab.github.mints(), 1, "no other request reached GitHub");
}

#[tokio::test]
async fn only_the_agent_of_the_workspaces_node_uses_the_index() {
    let (plane, _n1) = with_agent(&[]).await;
    let id = plane.prepare(shop()).await.id().to_owned();
    let n2 = FakeAgent::start("n2").await;
    let other = n2.register(&plane, &[]).await.session_token;
    let image = cache::manifest("Dockerfile", "FROM a");
    let entry = cache::entry(&image, "an image");
    let commit = CommitCacheRequest {
        attempt: cache::attempt(&id, 1),
        entry: Some(entry.clone()),
    };
    let resolve = ResolveCacheRequest {
        attempt: cache::attempt(&id, 1),
        repository: entry.repository.clone(),
        key: entry.key.clone(),
        ..ResolveCacheRequest::default()
    };
    let drop = DropCacheRequest {
        attempt: cache::attempt(&id, 1),
        repository: entry.repository.clone(),
        key: entry.key.clone(),
        digest: entry.digest.clone(),
        ..DropCacheRequest::default()
    };
    let find = FindBuildCacheRequest {
        attempt: cache::attempt(&id, 1),
        repository: entry.repository.clone(),
        service: String::new(),
    };
    let build_cache = CommitBuildCacheRequest {
        attempt: cache::attempt(&id, 1),
        repository: entry.repository.clone(),
        key: entry.key.clone(),
        digest: entry.digest.clone(),
        generation: 0,
        service: String::new(),
    };
    let neighbours = FindNeighboursRequest {
        attempt: cache::attempt(&id, 1),
        repository: entry.repository.clone(),
        digest: entry.digest.clone(),
        offer: None,
    };
    for session in ["", &other] {
        let mut index = plane.cache().await;
        let answers = [
            index
                .find_neighbours(by(session, neighbours.clone()))
                .await
                .map(|_| ()),
            index
                .resolve_cache(by(session, resolve.clone()))
                .await
                .map(|_| ()),
            index
                .commit_cache(by(session, commit.clone()))
                .await
                .map(|_| ()),
            index
                .find_build_cache(by(session, find.clone()))
                .await
                .map(|_| ()),
            index
                .commit_build_cache(by(session, build_cache.clone()))
                .await
                .map(|_| ()),
            index
                .drop_cache(by(session, drop.clone()))
                .await
                .map(|_| ()),
        ];
        for answer in answers {
            let status = answer.expect_err("a refusal");
            assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        }
    }
    cache::commit(&plane, &id, 1, entry)
        .await
        .expect("an entry");
}

#[tokio::test]
async fn only_the_agent_of_a_node_says_that_it_lives_or_leaves() {
    let (plane, n1) = with_agent(&[]).await;
    let n2 = FakeAgent::join(&plane, "n2").await;
    // Anybody can read its boot id with `hearth nodes --output json`.
    let heartbeat = HeartbeatRequest {
        node: "n1".into(),
        boot_id: n1.boot_id.clone(),
        problem: "planted".into(),
        ..HeartbeatRequest::default()
    };
    let leave = DeregisterRequest {
        node: "n1".into(),
        boot_id: n1.boot_id.clone(),
    };
    let other = n2.register(&plane, &[]).await.session_token;
    for session in ["", "x", &other] {
        let mut registry = plane.registry().await;
        for answer in [
            registry
                .heartbeat(by(session, heartbeat.clone()))
                .await
                .map(|_| ()),
            registry
                .deregister(by(session, leave.clone()))
                .await
                .map(|_| ()),
        ] {
            let status = answer.expect_err("a refusal");
            assert_eq!(status.code(), Code::Unauthenticated, "{status}");
            assert_eq!(reason(&status), "SESSION_UNKNOWN");
        }
    }
    let node = &plane.list_nodes().await[0];
    assert_eq!(node.state(), NodeState::Online, "{node:?}");
    assert!(n1.heartbeat(&plane).await);
    n1.deregister(&plane).await;
    let node = &plane.list_nodes().await[0];
    assert_eq!(node.state(), NodeState::Left, "{node:?}");
}

#[tokio::test]
async fn a_new_registration_ends_the_session_before() {
    let mut lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let old = lab.session.clone();
    lab.session = lab.agent.register(&lab.plane, &[&id]).await.session_token;
    let (code, _) = refused(&lab, &old, question(&id)).await;
    assert_eq!(code, Code::Unauthenticated);
    token(&lab.ask(&id).await);
}

#[tokio::test]
async fn a_session_outlives_a_restart_of_the_control_plane() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let lab = lab.restart_plane().await;
    token(&lab.ask(&id).await);
    let (code, _) = refused(&lab, "x", question(&id)).await;
    assert_eq!(code, Code::Unauthenticated);
}

#[tokio::test]
async fn logins_are_for_the_newest_attempt_of_a_workspace_that_stays() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let unknown = (Code::NotFound, "ATTEMPT_UNKNOWN".to_owned());
    assert_eq!(
        refused(&lab, &lab.session, question("ws-none")).await,
        unknown
    );
    lab.agent.started(&id, 1).await;
    lab.plane.prepare(again(&id)).await;
    assert_eq!(refused(&lab, &lab.session, question(&id)).await, unknown);
    let mut newest = question(&id);
    newest.attempt.as_mut().expect("an attempt").attempt = 2;
    let answer = try_ask(&lab.plane, &lab.session, newest.clone()).await;
    token(&answer.expect("an answer"));
    lab.agent.on_removal(Removal::Fails);
    lab.plane.delete(&id, false).await.expect_err("it fails");
    assert_eq!(refused(&lab, &lab.session, newest).await, unknown);
}

#[tokio::test]
async fn a_malformed_field_is_named() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let malformed = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
    let mut no_id = question("");
    no_id.attempt = None;
    let mut no_use = question(&id);
    no_use.r#use = 99;
    let mut no_digest = question(&id);
    no_digest.refused_sha256 = "sha256:1".into();
    for question in [no_id, no_use, no_digest] {
        assert_eq!(refused(&lab, &lab.session, question).await, malformed);
    }
}
