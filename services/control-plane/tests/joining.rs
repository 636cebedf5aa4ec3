//! Nodes join by tokens and speak for themselves alone.

use std::time::Duration;

use hearth_api::v1::{
    CreateJoinTokenRequest, EnrolRequest, HeartbeatRequest, ListJoinTokensRequest,
    RemoveNodeRequest, RevokeJoinTokenRequest,
};
use tonic::{Code, Status};

use crate::support::{
    logs,
    plane::by,
    refusals::reason,
    soon,
    tls::{TlsNode, TlsPlane, contents, registration},
};

const ONCE: CreateJoinTokenRequest = CreateJoinTokenRequest {
    uses: None,
    hours: 0,
    nodes: String::new(),
    description: String::new(),
};

fn any_number() -> CreateJoinTokenRequest {
    CreateJoinTokenRequest {
        uses: Some(0),
        ..ONCE
    }
}

fn refused<T>(answer: Result<T, Status>) -> (Code, String, String) {
    let Err(status) = answer else {
        panic!("it was let in");
    };
    (status.code(), reason(&status), status.message().to_owned())
}

#[tokio::test]
async fn a_node_speaks_for_itself_alone() {
    let plane = TlsPlane::start().await;
    let (_, secret, _) = plane.token(any_number()).await;
    let (mut n1, mut n2) = (TlsNode::new("n1"), TlsNode::new("n2"));
    n1.enrol(&plane, &secret).await.expect("a certificate");
    n2.enrol(&plane, &secret).await.expect("a certificate");
    let session = n1.register_as(&plane, "n1").await.expect("a session");
    // Neither without a certificate, nor with another's, nor with another's session.
    let stranger = TlsNode::new("n1");
    for answer in [
        stranger.register_as(&plane, "n1").await,
        n2.register_as(&plane, "n1").await,
    ] {
        let (code, reason, _) = refused(answer);
        assert_eq!(
            (code, reason.as_str()),
            (Code::Unauthenticated, "CALLER_UNKNOWN")
        );
    }
    let heartbeat = || {
        let heartbeat = HeartbeatRequest {
            node: "n1".into(),
            boot_id: "b".into(),
            ..HeartbeatRequest::default()
        };
        by(&session, heartbeat)
    };
    for (own, expected) in [
        (None, "CALLER_UNKNOWN"),
        (n2.own.as_ref(), "SESSION_UNKNOWN"),
    ] {
        let (_, reason, _) = refused(plane.registry(own).heartbeat(heartbeat()).await);
        assert_eq!(reason, expected);
    }
    let heard = plane.registry(n1.own.as_ref()).heartbeat(heartbeat()).await;
    assert!(heard.expect("an answer").into_inner().known);
    plane.stop().await;
}

#[tokio::test]
async fn a_token_lets_in_as_many_as_it_is_for_while_it_is_valid() {
    logs::capture();
    let plane = TlsPlane::start().await;
    let named = CreateJoinTokenRequest {
        nodes: "build-?".into(),
        ..any_number()
    };
    let (_, once, ca) = plane.token(ONCE).await;
    let (_, named, _) = plane.token(named).await;
    let (revoked, gone, _) = plane.token(any_number()).await;
    assert_eq!(ca.len(), 64);
    let revoke = RevokeJoinTokenRequest { id: revoked };
    let revoke = || plane.by_admin(revoke.clone());
    plane
        .tokens()
        .revoke_join_token(revoke())
        .await
        .expect("an end");
    let (_, unknown, _) = refused(plane.tokens().revoke_join_token(revoke()).await);
    assert_eq!(unknown, "TOKEN_UNKNOWN");

    let mut first = TlsNode::new("n1");
    let got = first.enrol(&plane, &once).await.expect("a certificate");
    assert!((3590..=3600).contains(&got.valid_seconds), "{got:?}");
    assert_eq!(got.authorities, plane.file("ca.pem"));
    // Its answer did not arrive: the same key may ask again.
    first.enrol(&plane, &once).await.expect("a certificate");
    for (name, secret, why) in [
        ("n2", &once, "used by as many nodes"),
        ("n1", &once, "used by as many nodes"),
        ("n2", &gone, "not known"),
        ("n2", &"0".repeat(64), "not known"),
        ("n2", &named, "named build-?"),
        ("build-10", &named, "named build-?"),
    ] {
        let (code, reason, message) = refused(TlsNode::new(name).enrol(&plane, secret).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::PermissionDenied, "JOIN_REFUSED")
        );
        assert!(message.contains(why), "{message}");
    }
    TlsNode::new("build-1")
        .enrol(&plane, &named)
        .await
        .expect("a certificate");
    plane.execute("UPDATE join_tokens SET expires_ms = 1").await;
    for (node, secret) in [(&mut first, &once), (&mut TlsNode::new("build-2"), &named)] {
        let (_, _, message) = refused(node.enrol(&plane, secret).await);
        assert!(message.contains("has expired"), "{message}");
    }
    let metrics = plane.admin("/metrics").await;
    let count = "hearth_node_certificates_total{call=\"ENROL\",outcome=\"REFUSED\"} 8";
    assert!(metrics.contains(count), "{metrics}");
    let listed = plane.by_admin(ListJoinTokensRequest {});
    let listed = plane
        .tokens()
        .list_join_tokens(listed)
        .await
        .expect("a list");
    let listed = listed.into_inner().tokens;
    assert_eq!(listed.len(), 2);
    assert!(
        listed.iter().all(|token| token.last_use_time.is_some()),
        "{listed:?}"
    );
    let folder = plane.stop().await;
    // What was kept and said has no secret.
    let kept = contents(folder.path());
    let said = logs::captured();
    for secret in [&once, &named, &gone] {
        let is_in = |bytes: &[u8]| {
            bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        };
        assert!(!is_in(&kept) && !said.contains(secret.as_str()));
    }
    assert!(said.contains("a node got no certificate"));
}

#[tokio::test]
async fn of_two_nodes_that_join_at_once_with_one_use_one_is_let_in() {
    let plane = TlsPlane::start().await;
    let (_, secret, _) = plane.token(ONCE).await;
    let (mut n1, mut n2) = (TlsNode::new("n1"), TlsNode::new("n2"));
    let (a, b) = tokio::join!(n1.enrol(&plane, &secret), n2.enrol(&plane, &secret));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
}

#[tokio::test]
async fn a_name_belongs_to_the_key_that_joined_until_the_node_is_removed() {
    let plane = TlsPlane::start().await;
    let (_, secret, _) = plane.token(any_number()).await;
    let (_, once, _) = plane.token(ONCE).await;
    let (mut old, mut new) = (TlsNode::new("n1"), TlsNode::new("n1"));
    old.enrol(&plane, &once).await.expect("a certificate");
    old.register_as(&plane, "n1").await.expect("a session");
    let (code, reason, message) = refused(new.enrol(&plane, &secret).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::PermissionDenied, "JOIN_REFUSED")
    );
    assert!(message.contains("hearth nodes rm n1"), "{message}");
    // The same machine may join again.
    old.enrol(&plane, &once).await.expect("a certificate");
    let removal = RemoveNodeRequest {
        name: "n1".into(),
        force: true,
    };
    plane
        .nodes()
        .remove_node(plane.by_admin(removal))
        .await
        .expect("a removal");
    // What it has does not count any more, whoever has it, and neither does the token that it has used.
    let mut thief = TlsNode::new("n1");
    thief.own = old.own.clone();
    for status in [
        refused(old.renew(&plane).await),
        refused(thief.renew(&plane).await),
        refused(old.register_as(&plane, "n1").await),
        refused(old.enrol(&plane, &once).await),
    ] {
        assert_eq!(status.1, "JOIN_REFUSED", "{status:?}");
    }
    new.enrol(&plane, &secret).await.expect("a certificate");
    let (_, reason, _) = refused(old.register_as(&plane, "n1").await);
    assert_eq!(reason, "JOIN_REFUSED", "its successor has the name");
    // What the one before still has ends with its certificate.
    let (_, reason, message) = refused(old.renew(&plane).await);
    assert_eq!(reason, "JOIN_REFUSED");
    assert!(
        message.contains("another node has joined as n1"),
        "{message}"
    );
    new.renew(&plane).await.expect("a certificate");
}

#[tokio::test]
async fn a_certificate_is_renewed_for_the_same_key_by_who_has_one() {
    let plane = TlsPlane::start().await;
    let (_, secret, _) = plane.token(ONCE).await;
    let mut node = TlsNode::new("n1");
    let (code, reason, _) = refused(node.renew(&plane).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::Unauthenticated, "CALLER_UNKNOWN")
    );
    let first = node.enrol(&plane, &secret).await.expect("a certificate");
    let second = node.renew(&plane).await.expect("a certificate");
    assert_ne!(first.chain, second.chain);
    let mut thief = TlsNode::new("n1");
    thief.own = node.own.clone();
    let (_, reason, _) = refused(thief.renew(&plane).await);
    assert_eq!(reason, "JOIN_REFUSED");
    let malformed = EnrolRequest {
        node: "N 1".into(),
        ..EnrolRequest::default()
    };
    let (code, _, message) = refused(plane.registry(None).enrol(malformed).await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(
        message.contains("node must") && message.contains("join_token"),
        "{message}"
    );
}

#[tokio::test]
async fn a_certificate_that_has_expired_lets_nobody_in_on_an_open_connection_either() {
    let plane = TlsPlane::with_life(Duration::from_secs(2)).await;
    let (_, secret, _) = plane.token(ONCE).await;
    let mut node = TlsNode::new("n1");
    node.enrol(&plane, &secret).await.expect("a certificate");
    let mut open = plane.registry(node.own.as_ref());
    open.register(registration("n1")).await.expect("a session");
    let expired = async {
        loop {
            match open.register(registration("n1")).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(status) => return status,
            }
        }
    };
    let status = soon("its end", expired).await;
    assert_eq!(reason(&status), "CALLER_UNKNOWN", "{status}");
    // Certificates count whole seconds at a handshake.
    let refused = async {
        loop {
            let mut new = plane.registry(node.own.as_ref());
            let status = new.register(registration("n1")).await;
            let status = status.expect_err("it expired");
            if reason(&status).is_empty() {
                // Not an answer: the connection failed.
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("no connection", refused).await;
    // It joins again with its key and its token.
    node.enrol(&plane, &secret).await.expect("a certificate");
    node.register_as(&plane, "n1").await.expect("a session");
}

#[tokio::test]
async fn a_control_plane_without_a_ca_lets_nobody_join_and_asks_for_no_certificate() {
    let plane = crate::support::plane::Plane::fresh(&[]).await;
    let url = format!("http://{}", plane.addresses.listen);
    let channel = tonic::transport::Channel::from_shared(url)
        .expect("a URL")
        .connect_lazy();
    let mut tokens =
        hearth_api::v1::join_token_service_client::JoinTokenServiceClient::new(channel);
    let (code, reason, message) = refused(tokens.create_join_token(ONCE).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::PermissionDenied, "NOT_ALLOWED")
    );
    assert!(message.contains("--ca-certificate"), "{message}");
    plane
        .registry()
        .await
        .register(registration("n1"))
        .await
        .expect("a session");
}

#[tokio::test]
async fn strangers_are_heard_for_as_long_as_it_takes_to_join() {
    let plane = TlsPlane::start().await;
    let large = EnrolRequest {
        node: "n1".into(),
        join_token: "x".repeat(100 * 1024),
        ..EnrolRequest::default()
    };
    let (_, _, why) = refused(plane.registry(None).enrol(large).await);
    assert!(why.contains("length limit"), "{why}");
}
