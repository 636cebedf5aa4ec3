use hearth_domain::Digest;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{basic_auth, header, method, path, query_param},
};

use super::*;
use crate::{RegistryLogin, access::MAX_MESSAGE};

const ROBOT: (&str, &str) = ("robot", "planted");

fn client(server: &MockServer, login: bool) -> RegistryClient {
    let login = login.then(|| RegistryLogin {
        registry: server.address().to_string(),
        username: ROBOT.0.into(),
        password: ROBOT.1.to_owned().into(),
    });
    RegistryClient::new(login, "linux/amd64")
}

fn repository(server: &MockServer) -> String {
    format!("{}/a/b", server.address())
}

/// A registry that asks for a token, and its token endpoint.
async fn guarded(token: ResponseTemplate, actions: &str) -> MockServer {
    let server = MockServer::start().await;
    let challenge = format!(
        r#"Bearer realm="{}/token",service="registry""#,
        server.uri()
    );
    Mock::given(path("/v2/"))
        .respond_with(
            ResponseTemplate::new(401).insert_header("www-authenticate", challenge.as_str()),
        )
        .mount(&server)
        .await;
    Mock::given(path("/token"))
        .and(query_param("service", "registry"))
        .and(query_param("scope", format!("repository:a/b:{actions}")))
        .and(basic_auth(ROBOT.0, ROBOT.1))
        .respond_with(token)
        .mount(&server)
        .await;
    server
}

fn token() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(r#"{"token":"t1"}"#, "application/json")
}

fn refusal(status: u16, message: &str) -> ResponseTemplate {
    let body = format!(r#"{{"errors":[{{"code":"DENIED","message":"{message}"}}]}}"#);
    ResponseTemplate::new(status).set_body_raw(body, "application/json")
}

#[tokio::test]
async fn an_upload_is_begun_with_a_token_for_pushing_and_cancelled() {
    let server = guarded(token(), "pull,push").await;
    Mock::given(method("POST"))
        .and(path("/v2/a/b/blobs/uploads/"))
        .and(header("authorization", "Bearer t1"))
        .respond_with(
            ResponseTemplate::new(202).insert_header("location", "/v2/a/b/blobs/uploads/u1?s=x"),
        )
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .and(path("/v2/a/b/blobs/uploads/u1"))
        .and(query_param("s", "x"))
        .and(header("authorization", "Bearer t1"))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    client(&server, true)
        .try_push(&repository(&server))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_token_without_the_right_is_a_refusal_in_the_registrys_words() {
    let server = guarded(token(), "pull,push").await;
    Mock::given(method("POST"))
        .respond_with(refusal(401, "not for you"))
        .mount(&server)
        .await;
    let refused = client(&server, true).try_push(&repository(&server)).await;
    assert_eq!(refused, Err(RegistryError::Denied("not for you".into())));
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_tells_a_bad_login_from_a_missing_right() {
    for (answer, expected) in [
        (ResponseTemplate::new(401), RegistryError::LoginFailed),
        (refusal(403, "no"), RegistryError::Denied("no".into())),
        (
            ResponseTemplate::new(503),
            RegistryError::Unreachable("status 503 Service Unavailable".into()),
        ),
        (
            ResponseTemplate::new(200).set_body_string("{}"),
            RegistryError::Protocol("it sends no token".into()),
        ),
        (
            ResponseTemplate::new(200).set_body_string("x".repeat(MAX_MESSAGE + 1)),
            RegistryError::Protocol("its answer is too long".into()),
        ),
    ] {
        let server = guarded(answer, "pull").await;
        let refused = client(&server, true).try_pull(&repository(&server)).await;
        assert_eq!(refused, Err(expected));
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_yet_can_be_read() {
    let server = guarded(token(), "pull").await;
    client(&server, true)
        .try_pull(&repository(&server))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_password_is_never_sent_where_there_is_no_tls() {
    let server = MockServer::start().await;
    let challenge = r#"Bearer realm="http://registry.example/token",service="registry""#;
    Mock::given(path("/v2/"))
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", challenge))
        .mount(&server)
        .await;
    let refused = client(&server, true).try_pull(&repository(&server)).await;
    let expected = "it sends the login to registry.example without TLS";
    assert_eq!(refused, Err(RegistryError::Protocol(expected.into())));
}

#[tokio::test]
async fn a_registry_that_wants_a_plain_login_gets_it_and_one_that_wants_none_does_not() {
    let server = MockServer::start().await;
    Mock::given(path("/v2/"))
        .respond_with(
            ResponseTemplate::new(401).insert_header("www-authenticate", r#"Basic realm="r""#),
        )
        .mount(&server)
        .await;
    Mock::given(path("/v2/a/b/tags/list"))
        .and(basic_auth(ROBOT.0, ROBOT.1))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    client(&server, true)
        .try_pull(&repository(&server))
        .await
        .unwrap();
    let refused = client(&server, false).try_pull(&repository(&server)).await;
    assert_eq!(refused, Err(RegistryError::LoginFailed));
}

#[tokio::test]
async fn deleting_is_tried_with_what_nothing_has() {
    for (code, expected) in [
        (404, Ok(())),
        (405, Err(RegistryError::Unsupported)),
        (
            401,
            Err(RegistryError::Denied("status 401 Unauthorized".into())),
        ),
    ] {
        let server = guarded(token(), "pull,push,delete").await;
        Mock::given(method("DELETE"))
            .and(path(format!("/v2/a/b/manifests/sha256:{}", "0".repeat(64))))
            .respond_with(ResponseTemplate::new(code))
            .expect(1)
            .mount(&server)
            .await;
        let tried = client(&server, true).try_delete(&repository(&server)).await;
        assert_eq!(tried, expected);
    }
}

#[tokio::test]
async fn an_image_is_deleted_by_its_digest_where_the_registry_allows_it() {
    let digest = Digest::of("image");
    for (code, expected) in [
        (202, Ok(())),
        (405, Err("Unsupported")),
        (404, Err("NotFound")),
        (403, Err("Denied")),
        (503, Err("Unreachable")),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("DELETE"))
            .and(path(format!("/v2/a/b/manifests/{digest}")))
            .respond_with(ResponseTemplate::new(code))
            .expect(1)
            .mount(&server)
            .await;
        let image = format!("{}/a/b@{digest}", server.address());
        let deleted = client(&server, false).delete(&image).await;
        match (deleted, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(name)) => {
                assert!(format!("{error:?}").starts_with(name), "{code}: {error:?}");
            }
            (deleted, _) => panic!("{code}: {deleted:?}"),
        }
    }
    let tag = RegistryClient::new(None, "linux/amd64")
        .delete("localhost:1/a/b:tag")
        .await;
    assert!(matches!(tag, Err(RegistryError::BadReference(_))));
}
