//! What the registry holds is believed only when it proves itself, and deleted when nothing names it any more.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_api::v1::{
    InvalidateEntryRequest, ListEntriesRequest, resolve_cache_response::Decision,
};
use hearth_domain::{Digest, KeyManifest};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, path_regex},
};

use crate::support::{
    agent::FakeAgent,
    cache,
    plane::{Plane, shop},
    soon,
    start::with_agent,
};

fn manifest(dockerfile: &str) -> KeyManifest {
    cache::manifest("Dockerfile", dockerfile)
}

/// Annotations of an image that say which key it was built for.
fn annotations(key: &str) -> String {
    let hex = key.replacen("k2:", "sha256:", 1);
    format!(r#""dev.hearth.key":"{key}","dev.hearth.manifest-digest":"{hex}""#)
}

/// An image manifest whose annotations name a key.
fn image(annotations: &str) -> String {
    let config = Digest::of("config");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":5}},"layers":[],"annotations":{{{annotations}}}}}"#
    )
}

struct Registry(MockServer);

impl Registry {
    async fn start() -> Self {
        let server = MockServer::start().await;
        Mock::given(path("/v2/"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        Self(server)
    }

    fn repository(&self) -> String {
        format!("{}/acme/shop", self.0.address())
    }

    /// A control plane that caches here, a node, and a workspace on it by its id.
    async fn workspace(&self, flags: &[&str]) -> (Plane, FakeAgent, String) {
        let registry = format!("--cache-registry={}", self.0.address());
        let (plane, agent) = with_agent(&[&[&*registry], flags].concat()).await;
        let id = plane.prepare(shop()).await.id().to_owned();
        (plane, agent, id)
    }

    /// Has an image under the tag of a key.
    async fn holds(&self, key: &KeyManifest, image: &str) -> Digest {
        let digest = Digest::of(image);
        let tag = format!("devcontainer-cache-k{}", key.key().short());
        let answer = ResponseTemplate::new(200)
            .insert_header("docker-content-digest", digest.to_string())
            .set_body_raw(image, "application/vnd.oci.image.manifest.v1+json");
        for name in [tag, digest.to_string()] {
            Mock::given(method("GET"))
                .and(path(format!("/v2/acme/shop/manifests/{name}")))
                .respond_with(answer.clone())
                .mount(&self.0)
                .await;
        }
        digest
    }

    async fn answers_deletions(&self, code: u16) {
        Mock::given(method("DELETE"))
            .respond_with(ResponseTemplate::new(code))
            .mount(&self.0)
            .await;
    }

    /// The digests that were asked to be deleted.
    async fn deletions(&self) -> Vec<String> {
        let requests = self.0.received_requests().await.expect("a record");
        let deletions = requests
            .iter()
            .filter(|request| request.method.as_str() == "DELETE");
        let digest = |request: &wiremock::Request| {
            let path = request.url.path();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        };
        deletions.map(digest).collect()
    }

    async fn resolve(&self, plane: &Plane, id: &str, manifest: &KeyManifest) -> Decision {
        cache::resolve(plane, id, &self.repository(), manifest).await
    }

    async fn commit(&self, plane: &Plane, id: &str, manifest: &KeyManifest, image: &str) {
        let entry = cache::entry(&self.repository(), manifest, image);
        let committed = cache::commit(plane, id, 1, entry).await;
        committed.expect("a commit");
    }
}

#[tokio::test]
async fn an_image_that_only_the_registry_knows_is_used_if_it_says_that_it_is_for_the_key() {
    let registry = Registry::start().await;
    let (plane, _agent, id) = registry.workspace(&[]).await;
    let (ours, forged) = (manifest("a"), manifest("b"));
    let says_ours = image(&annotations(&ours.key().to_string()));
    let digest = registry.holds(&ours, &says_ours).await;
    // Under another key's tag the image is not adopted.
    registry.holds(&forged, &says_ours).await;
    let decision = registry.resolve(&plane, &id, &forged).await;
    assert!(matches!(decision, Decision::Build(_)), "{decision:?}");
    let Decision::Hit(hit) = registry.resolve(&plane, &id, &ours).await else {
        panic!("the image was not adopted");
    };
    assert_eq!(hit.digest, digest.to_string());
    assert_eq!((hit.writer.as_str(), hit.bytes), ("registry", 5));
    let mut service = plane.cache_service().await;
    let listed = service
        .list_entries(ListEntriesRequest::default())
        .await
        .expect("a page")
        .into_inner();
    assert_eq!(listed.entries.len(), 1);
}

#[tokio::test]
async fn a_registry_that_asks_for_a_login_gets_the_one_that_is_configured_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = MockServer::start().await;
    let challenge = ResponseTemplate::new(401).insert_header("www-authenticate", "Basic realm=x");
    Mock::given(path("/v2/"))
        .respond_with(challenge.clone())
        .mount(&server)
        .await;
    let registry = Registry(server);
    let ours = manifest("a");
    let says_ours = image(&annotations(&ours.key().to_string()));
    let digest = registry.holds(&ours, &says_ours).await;
    registry.answers_deletions(202).await;
    // A request without the login is refused first.
    let login = format!("Basic {}", STANDARD.encode("robot:secret"));
    Mock::given(path_regex("^/v2/acme/"))
        .and(move |request: &wiremock::Request| {
            let sent = request.headers.get("authorization");
            sent.is_none_or(|sent| sent.as_bytes() != login.as_bytes())
        })
        .respond_with(challenge)
        .with_priority(1)
        .mount(&registry.0)
        .await;
    let password = directory.path().join("password");
    std::fs::write(&password, "secret\n").expect("a write");
    let flags = [
        "--credentials=static".to_owned(),
        format!("--static-hosts={}", registry.0.address()),
        "--static-username=robot".to_owned(),
        format!("--static-password-file={}", password.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (plane, _agent, id) = registry.workspace(&flags).await;
    let Decision::Hit(hit) = registry.resolve(&plane, &id, &ours).await else {
        panic!("the image was not adopted");
    };
    assert_eq!(hit.digest, digest.to_string());
    let request = InvalidateEntryRequest {
        repository: "https://github.com/acme/shop".into(),
        ..InvalidateEntryRequest::default()
    };
    let dropped = plane.cache_service().await.invalidate_entry(request).await;
    let dropped = dropped.expect("an answer").into_inner();
    assert_eq!(dropped.warnings, Vec::<String>::new());
    assert_eq!(registry.deletions().await, [digest.to_string()]);
}

#[tokio::test]
async fn dropped_images_are_deleted_unless_another_entry_names_them() {
    let registry = Registry::start().await;
    registry.answers_deletions(202).await;
    let (plane, _agent, id) = registry.workspace(&[]).await;
    for (key, image) in [("a", "shared"), ("b", "shared"), ("c", "alone")] {
        registry.commit(&plane, &id, &manifest(key), image).await;
    }
    let mut service = plane.cache_service().await;
    for (key, deleted) in [("a", vec![]), ("c", vec![Digest::of("alone").to_string()])] {
        let request = InvalidateEntryRequest {
            repository: "https://github.com/acme/shop".into(),
            config: String::new(),
            key: manifest(key).key().to_string(),
        };
        let dropped = service.invalidate_entry(request).await.expect("an answer");
        assert_eq!(dropped.into_inner().warnings, Vec::<String>::new());
        assert_eq!(registry.deletions().await, deleted);
    }
}

#[tokio::test]
async fn a_registry_that_lets_nobody_delete_is_named_in_a_warning() {
    let registry = Registry::start().await;
    registry.answers_deletions(405).await;
    let (plane, _agent, id) = registry.workspace(&[]).await;
    for key in ["a", "b"] {
        registry.commit(&plane, &id, &manifest(key), key).await;
    }
    let request = InvalidateEntryRequest {
        repository: "https://github.com/acme/shop".into(),
        ..InvalidateEntryRequest::default()
    };
    let dropped = plane.cache_service().await.invalidate_entry(request).await;
    let dropped = dropped.expect("an answer").into_inner();
    assert_eq!((dropped.entries.len(), dropped.warnings.len()), (2, 1));
    assert!(dropped.warnings[0].contains("does not let images be deleted"));
}

#[tokio::test]
async fn the_oldest_entry_goes_when_there_are_too_many() {
    let registry = Registry::start().await;
    registry.answers_deletions(202).await;
    let (plane, _agent, id) = registry.workspace(&["--cache-keep-entries=1"]).await;
    for key in ["a", "b"] {
        registry.commit(&plane, &id, &manifest(key), key).await;
    }
    let mut service = plane.cache_service().await;
    let listed = service.list_entries(ListEntriesRequest::default()).await;
    let listed = listed.expect("a page").into_inner().entries;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key, manifest("b").key().to_string());
    // Its image goes in the background.
    let deleted = async {
        loop {
            let deletions = registry.deletions().await;
            if !deletions.is_empty() {
                return deletions;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(
        soon("a deletion", deleted).await,
        [Digest::of("a").to_string()]
    );
}
