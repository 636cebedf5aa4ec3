use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use super::*;

fn client() -> RegistryClient {
    RegistryClient::new(None, "linux/amd64")
}

async fn registry_answering(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/v2/"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    Mock::given(method("HEAD"))
        .respond_with(response.clone())
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(response)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn each_refusal_has_its_own_name() {
    let envelope =
        |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"why","detail":null}}]}}"#);
    for (response, expected) in [
        (
            ResponseTemplate::new(404)
                .set_body_raw(envelope("MANIFEST_UNKNOWN"), "application/json"),
            "NotFound",
        ),
        (
            ResponseTemplate::new(401).set_body_raw(envelope("UNAUTHORIZED"), "application/json"),
            "LoginFailed",
        ),
        (
            ResponseTemplate::new(403).set_body_raw(envelope("DENIED"), "application/json"),
            "Denied",
        ),
        (ResponseTemplate::new(503), "Unreachable"),
    ] {
        let server = registry_answering(response).await;
        let image = format!("{}/a/b:tag", server.address());
        let error = client().inspect(&image).await.unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{expected}: {error:?}"
        );
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_names_the_cause() {
    let error = client().digest("127.0.0.1:1/a/b:tag").await.unwrap_err();
    let RegistryError::Unreachable(cause) = error else {
        panic!("{error:?}")
    };
    assert!(cause.contains("refused"), "{cause}");
}

#[tokio::test]
async fn a_text_that_is_no_reference_is_told_apart() {
    let error = client().digest("No Reference").await.unwrap_err();
    assert_eq!(error, RegistryError::BadReference("No Reference".into()));
}

#[test]
fn only_loopback_is_asked_without_tls() {
    for yes in [
        "localhost",
        "localhost:5000",
        "127.0.0.1:5000",
        "127.8.8.8",
        "[::1]:5000",
    ] {
        assert!(is_loopback(yes), "{yes}");
    }
    for no in ["ghcr.io", "localhost.example:5000", "10.0.0.1:5000"] {
        assert!(!is_loopback(no), "{no}");
    }
}

#[test]
fn layers_that_the_engine_has_do_not_count_as_fetched() {
    let layer = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let info = ImageInfo {
        digest: layer("f").parse().unwrap(),
        bytes: 111,
        layers: BTreeMap::from([(layer("a"), 1), (layer("b"), 10), (layer("c"), 100)]),
    };
    let present = BTreeSet::from(["b".repeat(12), String::new()]);
    assert_eq!(info.bytes_without(&present), 101);
}
