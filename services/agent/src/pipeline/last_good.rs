use hearth_api::v1::{Failure, FailureReason, PipelineStep, TransferDirection};
use hearth_domain::{CacheRepository, Digest, GitRef};

use super::{context::Context, failure::failure, pull::pull};
use crate::{
    devcontainer::{DevcontainerConfig, Source},
    disk::ImageUse,
};

const STEP: PipelineStep = PipelineStep::Image;

/// An image of the cache that worked before.
pub struct LastGood {
    /// Its name, by its digest.
    pub name: String,
    /// The digest.
    pub digest: Digest,
    /// What it is called in sentences: with its digest, and the commit that it was built from.
    pub described: String,
    repository: CacheRepository,
    /// Keeps it from being removed until its container exists.
    _in_use: ImageUse,
}

impl LastGood {
    /// Fetches it; returns the bytes that were fetched.
    pub async fn fetch(&self, cx: &Context<'_>) -> Result<u64, Failure> {
        let fetch = async {
            let progress = cx.recorder.transfer(TransferDirection::Fetch);
            let of_cache = (&self.repository, &self.digest);
            pull(cx, &self.name, Some(of_cache), &progress).await
        };
        let fetch = cx
            .recorder
            .step(STEP, format!("fetches {}", self.name), fetch);
        let fetched = fetch.await.map_err(|error| {
            let why = format!("{} cannot be fetched: {error}", self.name);
            failure(FailureReason::BuildFailed, STEP, why)
        })?;
        let engine = cx.externals.engine.as_ref();
        cx.node.disk.used(engine, &self.name).await;
        Ok(fetched.bytes)
    }
}

/// Finds the last good image for the workspace; otherwise why there is none, in a sentence.
pub async fn last_good(
    cx: &Context<'_>,
    config: Option<&DevcontainerConfig>,
) -> Result<LastGood, String> {
    if let Some(Source::Compose(_)) = config.map(|config| &config.source) {
        return Err(
            "the configuration starts a Docker Compose project, which has no image of its own"
                .to_owned(),
        );
    }
    let cache = cx.job.cache.as_ref();
    let cache = cache.map_err(|_| "the attempt does not use the cache".to_owned())?;
    let repository = cache.reference.repository();
    let (index, attempt) = (&cx.externals.index, &cx.job.attempt);
    let found = index
        .last_good(attempt, repository, &cx.node.platform)
        .await;
    let found = found.map_err(|error| error.to_string())?;
    let found = found.ok_or("the cache has none of this ref, nor of the default branch")?;
    let name = repository.image(&found.digest);
    let of_commit = match &found.commit {
        Some(commit) => format!(" of commit {}", commit.short()),
        None => String::new(),
    };
    let of_ref = match &found.git_ref {
        GitRef::Default => " of the default branch".to_owned(),
        git_ref => format!(" of {git_ref}"),
    };
    Ok(LastGood {
        described: format!("the last good image {}{of_commit}{of_ref}", found.digest),
        _in_use: cx.node.images.enter(&name),
        name,
        digest: found.digest,
        repository: repository.clone(),
    })
}
