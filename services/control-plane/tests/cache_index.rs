//! The index believes only those who may write, and only what fits together.

use hearth_api::v1::{
    AttemptRef, CacheAccess, CacheEntry, CommitCacheRequest, DropCacheRequest, ResolveCacheRequest,
    resolve_cache_response::Decision,
};
use hearth_domain::{Digest, Input, KeyManifest};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    agent::FakeAgent,
    plane::{Plane, again, shop},
};

const REPOSITORY: &str = "localhost:1/acme/shop";

fn manifest(dockerfile: &str) -> KeyManifest {
    let mut manifest = KeyManifest::default();
    manifest.insert(Input::Dockerfile, ".devcontainer/Dockerfile", dockerfile);
    manifest
}

fn entry(manifest: &KeyManifest, image: &str) -> CacheEntry {
    CacheEntry {
        repository: REPOSITORY.into(),
        key: manifest.key().to_string(),
        digest: Digest::of(image).to_string(),
        key_manifest: manifest.canonical_json(),
        platform: "linux/amd64".into(),
        commit: "0123456789abcdef0123456789abcdef01234567".into(),
        build_seconds: 12.5,
        bytes: 1_000,
        ..CacheEntry::default()
    }
}

fn attempt(id: &str, attempt: u32) -> Option<AttemptRef> {
    Some(AttemptRef {
        workspace_id: id.to_owned(),
        attempt,
    })
}

async fn resolve(plane: &Plane, id: &str, manifest: &KeyManifest) -> Decision {
    let request = ResolveCacheRequest {
        attempt: attempt(id, 1),
        repository: REPOSITORY.into(),
        key: manifest.key().to_string(),
        key_manifest: manifest.canonical_json(),
    };
    let response = plane.cache().await.resolve_cache(request).await;
    let mut decisions = response.expect("an answer").into_inner();
    let message = decisions.message().await.expect("no failure");
    message.expect("a message").decision.expect("a decision")
}

async fn commit(plane: &Plane, id: &str, number: u32, entry: CacheEntry) -> Result<(), Status> {
    let request = CommitCacheRequest {
        attempt: attempt(id, number),
        entry: Some(entry),
    };
    plane.cache().await.commit_cache(request).await.map(|_| ())
}

async fn drop_entry(plane: &Plane, id: &str, entry: &CacheEntry) {
    let request = DropCacheRequest {
        attempt: attempt(id, 1),
        repository: entry.repository.clone(),
        key: entry.key.clone(),
        digest: entry.digest.clone(),
    };
    plane
        .cache()
        .await
        .drop_cache(request)
        .await
        .expect("no failure");
}

fn reasons(decision: Decision) -> Vec<String> {
    match decision {
        Decision::Build(build) => build.reasons,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_one_node_commits_another_finds() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let _n1 = FakeAgent::join(&plane, "n1").await;
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
            assert_eq!(hit, committed);
        }
        other => panic!("{other:?}"),
    }
    let changed = reasons(resolve(&plane, &two, &new).await);
    assert_eq!(
        changed[1],
        "The Dockerfile .devcontainer/Dockerfile changed."
    );

    // The newest image of a key wins, and only its own digest drops it.
    let newest = entry(&old, "another image");
    commit(&plane, &two, 1, newest.clone())
        .await
        .expect("a commit");
    drop_entry(&plane, &one, &committed).await;
    assert!(matches!(
        resolve(&plane, &one, &old).await,
        Decision::Hit(_)
    ));
    drop_entry(&plane, &one, &newest).await;
    assert!(matches!(
        resolve(&plane, &one, &old).await,
        Decision::Build(_)
    ));
    drop_entry(&plane, &one, &newest).await;
}

#[tokio::test]
async fn only_the_newest_attempt_is_heard() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let _agent = FakeAgent::join(&plane, "n1").await;
    let id = plane.prepare(shop()).await.id().to_owned();
    plane.prepare(again(&id)).await;
    let entry = entry(&manifest("a"), "image");
    for (id, number) in [(id.as_str(), 1), (id.as_str(), 3), ("ws-none", 1), ("", 0)] {
        let status = commit(&plane, id, number, entry.clone()).await;
        let status = status.expect_err("a refusal");
        assert_eq!(status.code(), Code::NotFound);
        let details = status.get_error_details();
        let info = details.error_info().expect("error info");
        assert_eq!(info.reason, "ATTEMPT_UNKNOWN");
    }
    commit(&plane, &id, 2, entry).await.expect("a commit");
}

#[tokio::test]
async fn who_may_only_read_cannot_write() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let _agent = FakeAgent::join(&plane, "n1").await;
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
    let table: [(&str, Spoil); 7] = [
        ("entry.repository", |entry| {
            entry.repository = "localhost:1/acme/other".into();
        }),
        ("entry.config", |entry| entry.config = "gpu".into()),
        ("entry.digest", |entry| entry.digest = "sha256:abc".into()),
        ("entry.key", |entry| entry.key = "k1:abc".into()),
        ("entry.key", |entry| entry.key_manifest.push(' ')),
        ("entry.platform", |entry| entry.platform = "amd64".into()),
        ("entry.build_seconds", |entry| {
            entry.build_seconds = f64::NAN;
        }),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let _agent = FakeAgent::join(&plane, "n1").await;
    let id = plane.prepare(shop()).await.id().to_owned();
    for (field, spoil) in table {
        let mut entry = entry(&manifest("a"), "image");
        spoil(&mut entry);
        let status = commit(&plane, &id, 1, entry).await.expect_err("a refusal");
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("fields").field_violations;
        assert_eq!(violations[0].field, field);
    }
}
