//! What an agent asks of the cache's index, and tells it.

use hearth_api::v1::{
    AttemptRef, CacheEntry, CommitBuildCacheRequest, CommitCacheRequest, DropCacheRequest,
    FindBuildCacheRequest, FindBuildCacheResponse, ResolveCacheRequest, ResolveCacheResponse,
    resolve_cache_response::Decision,
};
use std::sync::LazyLock;

use hearth_domain::{Input, KeyManifest};
use hearth_tests::images::{Image, Images};
use tonic::{Status, Streaming};

use super::plane::Plane;

/// The registry of caches, unless a test has one of its own.
pub static REGISTRY: LazyLock<Images> = LazyLock::new(Images::default);
/// Compressed bytes of images.
pub const BYTES: u64 = 1_000;

/// Where the cache of an ordinary repository is.
pub fn repository() -> String {
    format!("{}/acme/shop", REGISTRY.host())
}

/// The inputs of an image: one Dockerfile.
pub fn manifest(dockerfile: &str, text: &str) -> KeyManifest {
    let mut manifest = KeyManifest::default();
    manifest.insert(Input::Dockerfile, dockerfile, text);
    manifest
}

/// The inputs of an image whose Dockerfile has this text.
pub fn dockerfile(text: &str) -> KeyManifest {
    manifest("Dockerfile", text)
}

pub fn attempt(id: &str, attempt: u32) -> Option<AttemptRef> {
    Some(AttemptRef {
        workspace_id: id.to_owned(),
        attempt,
    })
}

/// An entry for an image with these inputs, which is in the registry.
pub fn entry(manifest: &KeyManifest, content: &str) -> CacheEntry {
    entry_of(manifest, &Image::of_key(content, BYTES, &manifest.key()))
}

/// An entry for this image, which is in the registry.
pub fn entry_of(manifest: &KeyManifest, image: &Image) -> CacheEntry {
    let repository = repository();
    CacheEntry {
        key: manifest.key().to_string(),
        digest: REGISTRY.put(&repository, image).to_string(),
        repository,
        key_manifest: manifest.canonical_json(),
        platform: "linux/amd64".into(),
        ..CacheEntry::default()
    }
}

/// Enters an image that a workspace's attempt of this number was told to build: it asks first, if it may.
pub async fn commit(plane: &Plane, id: &str, number: u32, entry: CacheEntry) -> Result<(), Status> {
    let request = ResolveCacheRequest {
        attempt: attempt(id, number),
        repository: entry.repository.clone(),
        key: entry.key.clone(),
        key_manifest: entry.key_manifest.clone(),
        ..ResolveCacheRequest::default()
    };
    let request = plane.of_agent(id, request).await;
    if let Ok(answer) = plane.cache().await.resolve_cache(request).await {
        let _ = answer.into_inner().message().await;
    }
    try_commit(plane, id, number, entry).await
}

/// Enters an image.
pub async fn try_commit(
    plane: &Plane,
    id: &str,
    number: u32,
    entry: CacheEntry,
) -> Result<(), Status> {
    let request = CommitCacheRequest {
        attempt: attempt(id, number),
        entry: Some(entry),
    };
    let request = plane.of_agent(id, request).await;
    plane.cache().await.commit_cache(request).await.map(|_| ())
}

/// Has an entry dropped: since its image is lost, or since an audit executed this step.
pub async fn drop_entry(
    plane: &Plane,
    id: &str,
    entry: &CacheEntry,
    executed_step: &str,
) -> Result<(), Status> {
    let request = DropCacheRequest {
        executed_step: executed_step.to_owned(),
        ..drop_of(id, entry)
    };
    drop_by(plane, id, request).await
}

/// Has an entry dropped since an audit made these properties of the configuration otherwise.
pub async fn drop_differing(
    plane: &Plane,
    id: &str,
    entry: &CacheEntry,
    differs: &str,
) -> Result<(), Status> {
    let request = DropCacheRequest {
        differs: differs.to_owned(),
        ..drop_of(id, entry)
    };
    drop_by(plane, id, request).await
}

fn drop_of(id: &str, entry: &CacheEntry) -> DropCacheRequest {
    DropCacheRequest {
        attempt: attempt(id, 1),
        repository: entry.repository.clone(),
        key: entry.key.clone(),
        digest: entry.digest.clone(),
        ..DropCacheRequest::default()
    }
}

async fn drop_by(plane: &Plane, id: &str, request: DropCacheRequest) -> Result<(), Status> {
    let request = plane.of_agent(id, request).await;
    plane.cache().await.drop_cache(request).await.map(|_| ())
}

/// The build cache that a workspace's first attempt may read.
pub async fn build_cache(plane: &Plane, id: &str, repository: &str) -> FindBuildCacheResponse {
    let request = FindBuildCacheRequest {
        attempt: attempt(id, 1),
        repository: repository.to_owned(),
        service: String::new(),
    };
    let request = plane.of_agent(id, request).await;
    let found = plane.cache().await.find_build_cache(request).await;
    found.expect("an answer").into_inner()
}

/// Notes the build cache that the build of an entry's key wrote.
pub async fn commit_build_cache(
    plane: &Plane,
    id: &str,
    entry: &CacheEntry,
    digest: &str,
    generation: u64,
) -> Result<(), Status> {
    let request = CommitBuildCacheRequest {
        attempt: attempt(id, 1),
        repository: entry.repository.clone(),
        key: entry.key.clone(),
        digest: digest.to_owned(),
        generation,
        service: String::new(),
    };
    let request = plane.of_agent(id, request).await;
    let committed = plane.cache().await.commit_build_cache(request).await;
    committed.map(|_| ())
}

/// Asks for an image with these inputs, as a workspace's attempt of this number.
pub async fn ask(
    plane: &Plane,
    id: &str,
    number: u32,
    repository: &str,
    manifest: &KeyManifest,
) -> Streaming<ResolveCacheResponse> {
    let request = question(id, number, repository, manifest);
    ask_with(plane, id, request).await
}

/// The question for an image with these inputs.
pub fn question(
    id: &str,
    number: u32,
    repository: &str,
    manifest: &KeyManifest,
) -> ResolveCacheRequest {
    ResolveCacheRequest {
        attempt: attempt(id, number),
        repository: repository.to_owned(),
        key: manifest.key().to_string(),
        key_manifest: manifest.canonical_json(),
        ..ResolveCacheRequest::default()
    }
}

/// Asks this, as a workspace's attempt.
pub async fn ask_with(
    plane: &Plane,
    id: &str,
    request: ResolveCacheRequest,
) -> Streaming<ResolveCacheResponse> {
    let request = plane.of_agent(id, request).await;
    let response = plane.cache().await.resolve_cache(request).await;
    response.expect("an answer").into_inner()
}

/// The first decision about a workspace's first attempt.
pub async fn resolve(
    plane: &Plane,
    id: &str,
    repository: &str,
    manifest: &KeyManifest,
) -> Decision {
    let mut decisions = ask(plane, id, 1, repository, manifest).await;
    let message = decisions.message().await.expect("no failure");
    message.expect("a message").decision.expect("a decision")
}
