//! The index accepts entries only from attempts that may write, and only consistent ones.

use hearth_api::v1::{
    CacheAccess, CacheEntry, CommitBuildCacheRequest, DropCacheRequest, FindBuildCacheRequest,
    resolve_cache_response::Decision,
};
use hearth_domain::{Digest, KeyManifest};
use tonic::Code;

use crate::support::{
    agent::FakeAgent,
    cache::{self, REPOSITORY, attempt, commit},
    plane::{Plane, again, shop},
    refusals::{fields, reason},
    start::with_agent,
};

fn manifest(dockerfile: &str) -> KeyManifest {
    cache::manifest(".devcontainer/Dockerfile", dockerfile)
}

fn entry(manifest: &KeyManifest, image: &str) -> CacheEntry {
    CacheEntry {
        commit: "0123456789abcdef0123456789abcdef01234567".into(),
        build_seconds: 12.5,
        bytes: 1_000,
        ..cache::entry(REPOSITORY, manifest, image)
    }
}

async fn resolve(plane: &Plane, id: &str, manifest: &KeyManifest) -> Decision {
    cache::resolve(plane, id, REPOSITORY, manifest).await
}

async fn drop_entry(plane: &Plane, id: &str, entry: &CacheEntry) {
    let request = DropCacheRequest {
        attempt: attempt(id, 1),
        repository: entry.repository.clone(),
        key: entry.key.clone(),
        digest: entry.digest.clone(),
        executed_step: String::new(),
    };
    let request = plane.of_agent(id, request).await;
    let dropped = plane.cache().await.drop_cache(request).await;
    dropped.expect("no failure");
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
    let (plane, _agent) = with_agent(&[]).await;
    let id = plane.prepare(shop()).await.id().to_owned();
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

async fn build_cache(plane: &Plane, id: &str) -> String {
    let request = FindBuildCacheRequest {
        attempt: attempt(id, 1),
        repository: REPOSITORY.to_owned(),
    };
    let request = plane.of_agent(id, request).await;
    let found = plane.cache().await.find_build_cache(request).await;
    found.expect("an answer").into_inner().digest
}

async fn commit_build_cache(
    plane: &Plane,
    id: &str,
    entry: &CacheEntry,
    digest: &str,
) -> Result<(), tonic::Status> {
    let request = CommitBuildCacheRequest {
        attempt: attempt(id, 1),
        repository: REPOSITORY.to_owned(),
        key: entry.key.clone(),
        digest: digest.to_owned(),
    };
    let request = plane.of_agent(id, request).await;
    let committed = plane.cache().await.commit_build_cache(request).await;
    committed.map(|_| ())
}

#[tokio::test]
async fn only_a_build_cache_of_an_entry_by_its_own_writer_is_read_by_others() {
    let (plane, _agent) = with_agent(&[]).await;
    let one = plane.prepare(shop()).await.id().to_owned();
    let two = plane.prepare(shop()).await.id().to_owned();
    let mut reads_only = shop();
    let spec = reads_only.spec.as_mut().expect("a spec");
    spec.cache_access = CacheAccess::ReadOnly.into();
    let three = plane.prepare(reads_only).await.id().to_owned();
    let entry = entry(&manifest("a"), "image");
    let digest = Digest::of("a build cache").to_string();
    assert_eq!(build_cache(&plane, &one).await, "");
    resolve(&plane, &one, &manifest("a")).await;
    // What a commit says of a build cache is not believed.
    let mut says = entry.clone();
    says.build_cache.clone_from(&digest);
    commit(&plane, &one, 1, says).await.expect("a commit");
    assert_eq!(build_cache(&plane, &three).await, "");
    let noted = commit_build_cache(&plane, &two, &entry, &digest).await;
    noted.expect("without effect");
    assert_eq!(build_cache(&plane, &three).await, "");
    let refused = commit_build_cache(&plane, &three, &entry, &digest).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let refused = commit_build_cache(&plane, &one, &entry, "latest").await;
    assert_eq!(fields(&refused.unwrap_err()), ["digest"]);
    let noted = commit_build_cache(&plane, &one, &entry, &digest).await;
    noted.expect("a commit");
    assert_eq!(build_cache(&plane, &three).await, digest);
    match resolve(&plane, &two, &manifest("a")).await {
        Decision::Hit(hit) => assert_eq!(hit.build_cache, digest),
        other => panic!("{other:?}"),
    }
}
