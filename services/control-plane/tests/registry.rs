//! What the registry holds is deleted when nothing names it any more.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_api::v1::{
    ImageStore, InvalidateEntryRequest, ListEntriesRequest, resolve_cache_response::Decision,
};
use hearth_tests::images::Image;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{path, path_regex},
};

use crate::support::{
    cache::{self, dockerfile},
    plane::shop,
    registry::{Registry, SigningKey, claim, image},
    soon,
};

#[tokio::test]
async fn a_registry_that_asks_for_a_login_gets_the_one_that_is_configured_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = MockServer::start().await;
    let challenge = ResponseTemplate::new(401).insert_header("www-authenticate", "Basic realm=x");
    Mock::given(path("/v2/"))
        .respond_with(challenge.clone())
        .mount(&server)
        .await;
    let registry = Registry::on(server).await;
    let ours = dockerfile("a");
    let digest = registry.holds(&ours, &image(&ours));
    let key = SigningKey::new();
    let claim = claim(&registry, &ours, &digest);
    registry.attach(&digest, &claim, &key.pair).await;
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
        .mount(&registry.server)
        .await;
    let password = directory.path().join("password");
    std::fs::write(&password, "secret\n").expect("a write");
    let flags = [
        "--credentials=static".to_owned(),
        format!("--static-hosts={}", registry.server.address()),
        "--static-username=robot".to_owned(),
        format!("--static-password-file={}", password.display()),
        key.flag(),
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
    let deletions = registry.deletions().await;
    assert_eq!(deletions[0], digest.to_string());
    assert_eq!(
        deletions.len(),
        3,
        "its signature goes with it, and the list of that"
    );
}

#[tokio::test]
async fn dropped_images_are_deleted_unless_another_entry_names_them() {
    let registry = Registry::start().await;
    registry.answers_deletions(202).await;
    let (plane, mut agent, id) = registry.workspace(&[]).await;
    // Images of the classic store do not name their key, so that two keys can have one.
    agent.store = ImageStore::Classic;
    agent.register(&plane, &[&id]).await;
    let (shared, alone) = (Image::new("s", 1, &[]), Image::new("a", 1, &[]));
    for (key, image) in [("a", &shared), ("b", &shared), ("c", &alone)] {
        registry.commit(&plane, &id, &dockerfile(key), image).await;
    }
    let mut service = plane.cache_service().await;
    for (key, deleted) in [("a", vec![]), ("c", vec![alone.digest().to_string()])] {
        let request = InvalidateEntryRequest {
            repository: "https://github.com/acme/shop".into(),
            config: String::new(),
            key: dockerfile(key).key().to_string(),
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
        let key = dockerfile(key);
        registry.commit(&plane, &id, &key, &image(&key)).await;
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
async fn what_was_removed_comes_back_neither_from_a_registry_that_keeps_it_nor_from_who_had_asked_before()
 {
    let signing = SigningKey::new();
    for key in [dockerfile("a").key().to_string(), String::new()] {
        let registry = Registry::start().await;
        registry.answers_deletions(405).await;
        let (plane, _agent, early) = registry.workspace(&[&signing.flag()]).await;
        let ours = dockerfile("a");
        let image = image(&ours);
        let digest = registry.holds(&ours, &image);
        let claim = claim(&registry, &ours, &digest);
        registry.attach(&digest, &claim, &signing.pair).await;
        let Decision::Hit(_) = registry.resolve(&plane, &early, &ours).await else {
            panic!("the image was not adopted");
        };
        let request = InvalidateEntryRequest {
            repository: "https://github.com/acme/shop".into(),
            config: String::new(),
            key,
        };
        let dropped = plane.cache_service().await.invalidate_entry(request).await;
        assert_eq!(dropped.expect("an answer").into_inner().entries.len(), 1);
        let entry = registry.entry(&ours, &image);
        let status = cache::try_commit(&plane, &early, 1, entry.clone()).await;
        let status = status.expect_err("a refusal");
        assert!(status.message().contains("was removed by"), "{status}");
        let late = plane.prepare(shop()).await.id().to_owned();
        let decision = registry.resolve(&plane, &late, &ours).await;
        assert!(matches!(decision, Decision::Build(_)), "{decision:?}");
        // Who builds it now may make the same image.
        let committed = cache::try_commit(&plane, &late, 1, entry).await;
        committed.expect("a commit");
        let decision = registry.resolve(&plane, &early, &ours).await;
        assert!(matches!(decision, Decision::Hit(_)), "{decision:?}");
    }
}

#[tokio::test]
async fn the_oldest_entry_goes_when_there_are_too_many() {
    let registry = Registry::start().await;
    registry.answers_deletions(202).await;
    let (plane, _agent, id) = registry.workspace(&["--cache-keep-entries=1"]).await;
    for key in ["a", "b"] {
        let key = dockerfile(key);
        registry.commit(&plane, &id, &key, &image(&key)).await;
    }
    let mut service = plane.cache_service().await;
    let listed = service.list_entries(ListEntriesRequest::default()).await;
    let listed = listed.expect("a page").into_inner().entries;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key, dockerfile("b").key().to_string());
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
        [image(&dockerfile("a")).digest().to_string()]
    );
}

#[tokio::test]
async fn an_empty_index_deletes_no_image_that_it_does_not_know() {
    let registry = Registry::start().await;
    registry.answers_deletions(202).await;
    // What a control plane has entered before that has lost its database.
    let before: Vec<_> = ["x", "y"]
        .map(dockerfile)
        .iter()
        .map(|key| registry.holds(key, &image(key)).to_string())
        .collect();
    let (plane, _agent, id) = registry.workspace(&["--cache-keep-entries=1"]).await;
    let own: Vec<_> = ["a", "b", "c"].map(dockerfile).into();
    for key in &own {
        registry.commit(&plane, &id, key, &image(key)).await;
    }
    let request = InvalidateEntryRequest {
        repository: "https://github.com/acme/shop".into(),
        ..InvalidateEntryRequest::default()
    };
    let dropped = plane.cache_service().await.invalidate_entry(request).await;
    assert_eq!(dropped.expect("an answer").into_inner().entries.len(), 1);
    let mut expected: Vec<_> = own
        .iter()
        .map(|key| image(key).digest().to_string())
        .collect();
    expected.sort();
    let all = async {
        while registry.deletions().await.len() < expected.len() {
            tokio::task::yield_now().await;
        }
    };
    soon("the deletions of what was retired", all).await;
    let mut deleted = registry.deletions().await;
    deleted.sort();
    assert_eq!(deleted, expected);
    assert!(before.iter().all(|image| !deleted.contains(image)));
}
