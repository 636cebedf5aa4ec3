//! The index accepts entries only from attempts that may write, and only consistent ones.

use hearth_api::v1::{
    CacheAccess, CacheEntry, FindBuildCacheResponse, ImageStore, ListEntriesRequest, event::Kind,
    resolve_cache_response::Decision,
};
use hearth_domain::{Digest, KeyManifest, annotation};
use hearth_tests::images::Image;
use tonic::{Code, Status};

use crate::support::{
    agent::FakeAgent,
    cache::{self, REGISTRY, commit, drop_entry, repository, try_commit},
    events::{preparing, pushed},
    plane::{Plane, again, shop},
    refusals::{fields, mismatch, reason},
    start::{begin, with_agent},
};

fn manifest(dockerfile: &str) -> KeyManifest {
    cache::manifest(".devcontainer/Dockerfile", dockerfile)
}

fn entry(manifest: &KeyManifest, image: &str) -> CacheEntry {
    CacheEntry {
        commit: "0123456789abcdef0123456789abcdef01234567".into(),
        build_seconds: 12.5,
        bytes: cache::BYTES,
        ..cache::entry(manifest, image)
    }
}

async fn resolve(plane: &Plane, id: &str, manifest: &KeyManifest) -> Decision {
    cache::resolve(plane, id, &repository(), manifest).await
}

fn digest(entry: &CacheEntry) -> Digest {
    entry.digest.parse().expect("a digest")
}

fn reasons(decision: Decision) -> Vec<String> {
    match decision {
        Decision::Build(build) => build.reasons,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_one_node_commits_another_finds() {
    let (plane, _n1) = with_agent(&[]).await;
    let _n2 = FakeAgent::join(&plane, "n2").await;
    let one = plane.prepare(shop()).await.id().to_owned();
    let two = plane.prepare(shop()).await.id().to_owned();
    let (old, new) = (manifest("a"), manifest("b"));

    let nothing = reasons(resolve(&plane, &one, &old).await);
    assert!(
        nothing[0].starts_with("Nothing is in the cache yet"),
        "{nothing:?}"
    );
    let committed = entry(&old, "image");
    commit(&plane, &one, 1, committed.clone())
        .await
        .expect("a commit");
    match resolve(&plane, &two, &old).await {
        Decision::Hit(mut hit) => {
            assert!(hit.create_time.take().is_some() && hit.last_use_time.take().is_some());
            assert_eq!(std::mem::take(&mut hit.writer), one);
            assert_eq!(
                std::mem::take(&mut hit.source),
                "https://github.com/acme/shop"
            );
            assert_eq!(hit, committed);
        }
        other => panic!("{other:?}"),
    }
    let changed = reasons(resolve(&plane, &two, &new).await);
    assert_eq!(
        changed[1],
        "The Dockerfile .devcontainer/Dockerfile changed."
    );
}

/// A workspace that was told of an image; the image's entry, and the workspace's id.
async fn told_of_an_image(plane: &Plane, manifest: &KeyManifest) -> (CacheEntry, String) {
    let one = plane.prepare(shop()).await.id().to_owned();
    let two = plane.prepare(shop()).await.id().to_owned();
    let entry = entry(manifest, "image");
    let committed = commit(plane, &one, 1, entry.clone()).await;
    committed.expect("a commit");
    let told = resolve(plane, &two, manifest).await;
    assert!(matches!(told, Decision::Hit(_)), "{told:?}");
    (entry, two)
}

#[tokio::test]
async fn an_entry_is_dropped_only_by_who_was_told_of_it_and_only_if_its_image_is_lost() {
    type Harm = fn(&CacheEntry);
    let harms: [Harm; 2] = [
        |entry| REGISTRY.lose(&entry.repository, &digest(entry)),
        |entry| REGISTRY.lose_layers(&entry.repository, &digest(entry)),
    ];
    for harm in harms {
        let (plane, _agent) = with_agent(&[]).await;
        let manifest = manifest("a");
        let (entry, told) = told_of_an_image(&plane, &manifest).await;
        let whole = mismatch(drop_entry(&plane, &told, &entry, "").await);
        assert!(whole.contains("the registry has"), "{whole}");
        harm(&entry);
        REGISTRY.set_down(true);
        let unseen = mismatch(drop_entry(&plane, &told, &entry, "").await);
        assert!(unseen.contains("does not answer"), "{unseen}");
        REGISTRY.set_down(false);
        let stranger = plane.prepare(shop()).await.id().to_owned();
        let untold = mismatch(drop_entry(&plane, &stranger, &entry, "").await);
        assert!(untold.contains("not the one that the attempt"), "{untold}");
        drop_entry(&plane, &told, &entry, "").await.expect("a drop");
        let now = resolve(&plane, &stranger, &manifest).await;
        assert!(matches!(now, Decision::Build(_)), "{now:?}");
        // Who dropped it may build it.
        let again = self::entry(&manifest, "another image");
        let committed = try_commit(&plane, &told, 1, again).await;
        committed.expect("a commit");
    }
}

#[tokio::test]
async fn an_image_that_is_there_is_not_replaced_by_who_was_told_of_it() {
    let (plane, _agent) = with_agent(&[]).await;
    let manifest = manifest("a");
    let (_, told) = told_of_an_image(&plane, &manifest).await;
    let other = entry(&manifest, "another image");
    let why = mismatch(try_commit(&plane, &told, 1, other).await);
    assert!(why.contains("hearth cache rm"), "{why}");
}

#[tokio::test]
async fn only_what_the_attempt_was_told_to_build_is_entered() {
    let (plane, _agent) = with_agent(&[]).await;
    let id = plane.prepare(shop()).await.id().to_owned();
    let (asked, other) = (manifest("a"), manifest("b"));
    let early = try_commit(&plane, &id, 1, entry(&asked, "image")).await;
    assert!(mismatch(early).contains("has asked for no key"));
    resolve(&plane, &id, &asked).await;
    let of_other = try_commit(&plane, &id, 1, entry(&other, "image")).await;
    assert!(mismatch(of_other).contains("its key is"));
    let elsewhere = CacheEntry {
        platform: "linux/arm64".into(),
        ..entry(&asked, "image")
    };
    let elsewhere = try_commit(&plane, &id, 1, elsewhere).await;
    assert!(mismatch(elsewhere).contains("its platform is"));
    let committed = try_commit(&plane, &id, 1, entry(&asked, "image")).await;
    committed.expect("a commit");
}

#[tokio::test]
async fn who_has_reported_its_push_enters_nothing_any_more() {
    let (plane, agent) = with_agent(&[]).await;
    let (mut follower, id) = begin(&plane, &agent, shop()).await;
    let asked = manifest("a");
    resolve(&plane, &id, &asked).await;
    agent.say(&id, 1, [preparing(), pushed()]);
    follower.until(|kind| matches!(kind, Kind::Push(_))).await;
    let late = try_commit(&plane, &id, 1, entry(&asked, "image")).await;
    assert!(mismatch(late).contains("reported its push"));
}

#[tokio::test]
async fn only_what_the_registry_holds_for_the_key_is_entered() {
    let (plane, _agent) = with_agent(&[]).await;
    let id = plane.prepare(shop()).await.id().to_owned();
    let (asked, other) = (manifest("a"), manifest("b"));
    resolve(&plane, &id, &asked).await;
    let key = asked.key();
    let key_digest = key.manifest_digest();
    let annotations = [
        (annotation::KEY, key.as_str()),
        (annotation::MANIFEST_DIGEST, key_digest.as_str()),
    ];
    let content = "what it is";
    for (image, why) in [
        (Image::of_key(content, 1, &other.key()), "dev.hearth.key"),
        (
            Image::new(content, 1, &[]),
            "has no annotation dev.hearth.key",
        ),
        (
            Image::new(content, 1, &annotations[..1]),
            "has no annotation dev.hearth.manifest-digest",
        ),
        (Image::on("arm64", content, 1, &annotations), "linux/arm64"),
    ] {
        let entry = cache::entry_of(&asked, &image);
        let refused = mismatch(try_commit(&plane, &id, 1, entry).await);
        assert!(refused.contains(why), "{refused}");
    }
    let mut entry = cache::entry(&asked, content);
    let there = std::mem::replace(&mut entry.digest, Digest::of("nothing").to_string());
    let refused = mismatch(try_commit(&plane, &id, 1, entry.clone()).await);
    assert!(refused.contains("the registry has no"), "{refused}");
    entry.digest = there;
    REGISTRY.set_down(true);
    let status = try_commit(&plane, &id, 1, entry.clone()).await;
    let status = status.expect_err("a refusal");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "REGISTRY_UNAVAILABLE")
    );
    REGISTRY.set_down(false);
    // It says that it is smaller.
    entry.bytes = 1;
    try_commit(&plane, &id, 1, entry).await.expect("a commit");
    let listed = ListEntriesRequest::default();
    let listed = plane.cache_service().await.list_entries(listed).await;
    let listed = listed.expect("a page").into_inner().entries;
    assert_eq!((listed.len(), listed[0].bytes), (1, cache::BYTES));
}

#[tokio::test]
async fn an_image_of_the_classic_store_has_no_annotations_and_none_that_contradict() {
    let (plane, mut agent) = with_agent(&[]).await;
    agent.store = ImageStore::Classic;
    agent.register(&plane, &[]).await;
    let id = plane.prepare(shop()).await.id().to_owned();
    let (asked, other) = (manifest("a"), manifest("b"));
    resolve(&plane, &id, &asked).await;
    for (image, why) in [
        (Image::of_key("x", 1, &other.key()), "dev.hearth.key"),
        (Image::on("arm64", "x", 1, &[]), "linux/arm64"),
    ] {
        let entry = cache::entry_of(&asked, &image);
        let refused = mismatch(try_commit(&plane, &id, 1, entry).await);
        assert!(refused.contains(why), "{refused}");
    }
    let entry = cache::entry_of(&asked, &Image::new("x", 1, &[]));
    try_commit(&plane, &id, 1, entry).await.expect("a commit");
}

#[tokio::test]
async fn only_the_newest_attempt_is_heard() {
    let (plane, agent) = with_agent(&[]).await;
    let id = plane.prepare(shop()).await.id().to_owned();
    agent.started(&id, 1).await;
    plane.prepare(again(&id)).await;
    let entry = entry(&manifest("a"), "image");
    for (id, number) in [(id.as_str(), 1), (id.as_str(), 3), ("ws-none", 1), ("", 0)] {
        let status = commit(&plane, id, number, entry.clone()).await;
        let status = status.expect_err("a refusal");
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(reason(&status), "ATTEMPT_UNKNOWN");
    }
    commit(&plane, &id, 2, entry).await.expect("a commit");
}

#[tokio::test]
async fn who_may_only_read_cannot_write() {
    let (plane, _agent) = with_agent(&[]).await;
    let mut lightweight = shop();
    lightweight.spec.as_mut().expect("a spec").lightweight = true;
    let mut read_only = shop();
    read_only.spec.as_mut().expect("a spec").cache_access = CacheAccess::ReadOnly.into();
    let mut off = shop();
    off.spec.as_mut().expect("a spec").cache_access = CacheAccess::Off.into();
    for request in [lightweight, read_only, off] {
        let id = plane.prepare(request).await.id().to_owned();
        let status = commit(&plane, &id, 1, entry(&manifest("a"), "image")).await;
        assert_eq!(
            status.expect_err("a refusal").code(),
            Code::PermissionDenied
        );
    }
}

#[tokio::test]
async fn an_entry_that_does_not_fit_together_is_refused() {
    type Spoil = fn(&mut CacheEntry);
    let table: [(&str, Spoil); 8] = [
        ("entry.repository", |entry| {
            entry.repository = "localhost:1/acme/other".into();
        }),
        ("entry.config", |entry| entry.config = "gpu".into()),
        ("entry.digest", |entry| entry.digest = "sha256:abc".into()),
        ("entry.key", |entry| entry.key = "k1:abc".into()),
        ("entry.key", |entry| entry.key_manifest.push(' ')),
        ("entry.platform", |entry| entry.platform = "amd64".into()),
        ("entry.build_seconds", |entry| {
            entry.build_seconds = 1.5e19;
        }),
        ("entry.build_seconds", |entry| {
            entry.build_seconds = f64::NAN;
        }),
    ];
    let (plane, _agent) = with_agent(&[]).await;
    let id = plane.prepare(shop()).await.id().to_owned();
    for (field, spoil) in table {
        let mut entry = entry(&manifest("a"), "image");
        spoil(&mut entry);
        let status = commit(&plane, &id, 1, entry).await.expect_err("a refusal");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(fields(&status)[0], field);
    }
}

async fn build_cache(plane: &Plane, id: &str) -> FindBuildCacheResponse {
    cache::build_cache(plane, id, &repository()).await
}

async fn commit_build_cache(
    plane: &Plane,
    id: &str,
    digest: &str,
    generation: u64,
) -> Result<(), Status> {
    let entry = CacheEntry {
        repository: repository(),
        key: manifest("a").key().to_string(),
        ..CacheEntry::default()
    };
    cache::commit_build_cache(plane, id, &entry, digest, generation).await
}

#[tokio::test]
async fn a_build_cache_is_read_by_its_digest_and_written_by_those_who_may() {
    let (plane, _agent) = with_agent(&[]).await;
    let one = plane.prepare(shop()).await.id().to_owned();
    let mut reads_only = shop();
    let spec = reads_only.spec.as_mut().expect("a spec");
    spec.cache_access = CacheAccess::ReadOnly.into();
    let two = plane.prepare(reads_only).await.id().to_owned();
    let digest = Digest::of("a build cache").to_string();
    assert_eq!(
        build_cache(&plane, &one).await,
        FindBuildCacheResponse::default()
    );
    let refused = commit_build_cache(&plane, &two, &digest, 0).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let refused = commit_build_cache(&plane, &one, "latest", 0).await;
    assert_eq!(fields(&refused.unwrap_err()), ["digest"]);
    let noted = commit_build_cache(&plane, &one, &digest, 0).await;
    noted.expect("a commit");
    assert_eq!(build_cache(&plane, &two).await.digest, digest);
    let refused = commit_build_cache(&plane, &one, &digest, 7).await;
    assert!(mismatch(refused).contains("hearth cache rm"));
}
