use hearth_domain::Login;
use std::{net::SocketAddr, pin::pin};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, basic_auth, header, header_exists, method, path},
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
async fn a_port_where_nothing_listens_is_unreachable_and_the_cause_is_named() {
    let error = client().digest("127.0.0.1:1/a/b:tag").await.unwrap_err();
    let RegistryError::Unreachable(cause) = error else {
        panic!("{error:?}")
    };
    assert!(cause.contains("refused"), "{cause}");
}

#[tokio::test]
async fn a_text_that_is_not_a_reference_has_its_own_error() {
    let error = client().digest("No Reference").await.unwrap_err();
    assert_eq!(error, RegistryError::BadReference("No Reference".into()));
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

const CONFIG: &str = r#"{"config":{"Env":["A=1"]}}"#;
const USER: (&str, &str) = ("robot", "planted");

fn json(code: u16, body: impl Into<String>) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_raw(body.into(), "application/json")
}

fn manifest() -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
        "config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},
        "layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":7,"digest":"{}"}}],
        "annotations":{{"a":"b"}}}}"#,
        CONFIG.len(),
        Digest::of(CONFIG),
        Digest::of("layer"),
    )
}

fn index() -> String {
    let entry = |manifest: &str, architecture: &str| {
        let digest = Digest::of(manifest);
        let size = manifest.len();
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":{size},"digest":"{digest}",
            "platform":{{"os":"linux","architecture":"{architecture}"}}}}"#
        )
    };
    format!(
        r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
        entry("another", "arm64"),
        entry(&manifest(), "amd64")
    )
}

/// A registry with an image and an index, which asks for a token of `address` and gives it for one login.
async fn guarded_registry(server: &MockServer, address: SocketAddr) {
    Mock::given(path("/token"))
        .and(basic_auth(USER.0, USER.1))
        .respond_with(json(200, r#"{"token":"t1"}"#))
        .mount(server)
        .await;
    for (place, body) in [
        ("manifests/tag".to_owned(), manifest()),
        ("manifests/index".to_owned(), index()),
        (format!("manifests/{}", Digest::of(manifest())), manifest()),
        (format!("manifests/{}", Digest::of("forged")), manifest()),
        (format!("blobs/{}", Digest::of(CONFIG)), CONFIG.to_owned()),
    ] {
        Mock::given(path(format!("/v2/a/b/{place}")))
            .and(header("authorization", "Bearer t1"))
            .and(header_exists("accept"))
            .respond_with(json(200, body))
            .mount(server)
            .await;
    }
    let challenge = format!(r#"Bearer realm="http://{address}/token""#);
    Mock::given(any())
        .respond_with(
            json(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#)
                .insert_header("www-authenticate", challenge.as_str()),
        )
        .mount(server)
        .await;
}

fn login(address: SocketAddr) -> Option<Login> {
    Some(Login {
        host: address.to_string(),
        username: USER.0.into(),
        password: USER.1.to_owned().into(),
        expires: None,
    })
}

#[tokio::test]
async fn every_question_is_asked_with_the_login() {
    let server = MockServer::start().await;
    let address = *server.address();
    guarded_registry(&server, address).await;
    let image = format!("{address}/a/b:tag");
    let digest = Digest::of(manifest());
    let client = RegistryClient::new(login(address), "linux/amd64");
    assert_eq!(client.digest(&image).await, Ok(digest.clone()));
    assert_eq!(client.config(&image).await, Ok(CONFIG.to_owned()));
    let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    assert_eq!(client.annotations(&image).await, Ok(annotations));
    let info = client.inspect(&format!("{address}/a/b@{digest}")).await;
    let info = info.unwrap();
    assert_eq!(info.digest, digest);
    assert_eq!(info.bytes, CONFIG.len() as u64 + 7);
}

#[tokio::test]
async fn an_index_stands_for_the_image_of_the_platform() {
    let server = MockServer::start().await;
    let address = *server.address();
    guarded_registry(&server, address).await;
    let image = format!("{address}/a/b:index");
    let ours = RegistryClient::new(login(address), "linux/amd64");
    let info = ours.inspect(&image).await.unwrap();
    assert_eq!(info.digest, Digest::of(index()));
    assert_eq!(ours.digest(&image).await, Ok(info.digest));
    assert_eq!(info.bytes, CONFIG.len() as u64 + 7);
    let none = RegistryClient::new(login(address), "linux/riscv64");
    assert_eq!(
        none.inspect(&image).await,
        Err(RegistryError::NotFound(format!(
            "{image} for linux/riscv64"
        )))
    );
}

#[tokio::test]
async fn what_is_asked_for_by_its_digest_has_to_have_it() {
    let server = MockServer::start().await;
    let address = *server.address();
    guarded_registry(&server, address).await;
    let client = RegistryClient::new(login(address), "linux/amd64");
    let image = format!("{address}/a/b@{}", Digest::of("forged"));
    let expected =
        RegistryError::Protocol(format!("it sends {} for {image}", Digest::of(manifest())));
    assert_eq!(client.inspect(&image).await, Err(expected.clone()));
    assert_eq!(client.digest(&image).await, Err(expected));
}

/// Passes connections on to `server` while `questions` are asked, and counts them.
async fn connections(
    server: SocketAddr,
    listener: TcpListener,
    questions: impl Future<Output = ()>,
) -> usize {
    let mut proxied = JoinSet::new();
    let mut questions = pin!(questions);
    loop {
        tokio::select! {
            () = &mut questions => return proxied.len(),
            accepted = listener.accept() => {
                let (mut client, _) = accepted.unwrap();
                proxied.spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }
    }
}

#[tokio::test]
async fn questions_to_a_registry_share_a_connection_and_no_login() {
    let server = MockServer::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    guarded_registry(&server, address).await;
    let registries = Registries::default();
    let questions = async {
        let image = format!("{address}/a/b:tag");
        for _ in 0..3 {
            let client = registries.client(login(address), "linux/amd64");
            client.inspect(&image).await.unwrap();
            client.config(&image).await.unwrap();
            client
                .try_pull(&format!("{address}/a/b"))
                .await
                .unwrap_err();
            let stranger = registries.client(None, "linux/amd64");
            assert_eq!(
                stranger.inspect(&image).await,
                Err(RegistryError::LoginFailed)
            );
        }
    };
    assert_eq!(connections(*server.address(), listener, questions).await, 1);
}

#[tokio::test]
async fn a_login_does_not_leave_the_registry_however_often_it_redirects() {
    let (home, other) = (MockServer::start().await, MockServer::start().await);
    let address = *home.address();
    let moved = |to: String| ResponseTemplate::new(307).insert_header("Location", to);
    let challenge = ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=x");
    Mock::given(path("/v2/"))
        .respond_with(challenge)
        .mount(&home)
        .await;
    Mock::given(path("/v2/a/b/manifests/tag"))
        .respond_with(moved("/within".to_owned()))
        .mount(&home)
        .await;
    Mock::given(path("/within"))
        .and(header_exists("Authorization"))
        .respond_with(moved(format!("{}/one", other.uri())))
        .mount(&home)
        .await;
    Mock::given(path("/one"))
        .respond_with(moved(format!("{}/two", other.uri())))
        .mount(&other)
        .await;
    let answer = ResponseTemplate::new(200)
        .insert_header("Docker-Content-Digest", Digest::of(manifest()).as_str())
        .set_body_raw(manifest(), "application/vnd.oci.image.manifest.v1+json");
    Mock::given(path("/two"))
        .respond_with(answer)
        .mount(&other)
        .await;
    let client = RegistryClient::new(login(address), "linux/amd64");
    let digest = client.digest(&format!("{address}/a/b:tag")).await;
    assert_eq!(digest, Ok(Digest::of(manifest())));
    let elsewhere = other.received_requests().await.unwrap();
    assert!(elsewhere.len() >= 2);
    for request in elsewhere {
        assert!(
            !request.headers.contains_key("authorization"),
            "{request:?}"
        );
    }
    let here = home.received_requests().await.unwrap();
    let within = here.iter().filter(|one| one.url.path() == "/within");
    assert!(within.count() >= 1);
}

#[tokio::test]
async fn a_redirect_that_never_ends_or_leads_to_no_registry_is_an_error() {
    for to in ["/v2/a/b/manifests/tag", "file:///etc/passwd", "%%"] {
        let moved = ResponseTemplate::new(302).insert_header("Location", to);
        let server = registry_answering(moved).await;
        let image = format!("{}/a/b:tag", server.address());
        let answer = client().inspect(&image).await;
        assert!(
            matches!(answer, Err(RegistryError::Protocol(_))),
            "{to}: {answer:?}"
        );
    }
}
