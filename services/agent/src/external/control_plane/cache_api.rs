use async_trait::async_trait;
use hearth_api::v1::Waiting;
use hearth_domain::{
    AttemptRef, CacheKey, CacheRepository, CommitHash, ConfigName, Digest, KeyedManifest, Platform,
    ServiceName,
};

use super::earlier_image::EarlierImage;

/// What the index has for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// An image, by its digest.
    Hit {
        /// The image's.
        digest: Digest,
        /// That of BuildKit's cache of its build, if there is one.
        build_cache: Option<Digest>,
    },
    /// There is one, and nothing proves that it is for this key; why, in a sentence.
    Unproven(String),
    /// The image is to be built.
    Build {
        /// Why, in sentences.
        reasons: Vec<String>,
        /// There is an image, and fetching it is expected to take longer than building it.
        fetch_is_slower: bool,
    },
}

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where the cache is.
    pub repository: &'a CacheRepository,
    /// The service of the Docker Compose project; `None`: the devcontainer's own image.
    pub service: Option<&'a ServiceName>,
    /// What the image is to run on.
    pub platform: &'a Platform,
    /// Its inputs.
    pub manifest: &'a KeyedManifest,
    /// Others wait for what the attempt builds.
    pub may_write: bool,
}

/// An image that was pushed.
#[derive(Clone, Debug)]
pub struct PushedImage<'a> {
    /// Where it was pushed to.
    pub repository: &'a CacheRepository,
    /// Its digest there.
    pub digest: &'a Digest,
    /// Its inputs.
    pub manifest: &'a KeyedManifest,
    /// The configuration that it was built from; `None`: the default one.
    pub config: Option<&'a ConfigName>,
    /// The service of its Docker Compose project; `None`: the devcontainer's own.
    pub service: Option<&'a ServiceName>,
    /// What it runs on.
    pub platform: &'a Platform,
    /// The commit that it was built from.
    pub commit: Option<&'a CommitHash>,
    /// How long it took to build.
    pub build_seconds: f64,
    /// Compressed bytes of its layers.
    pub bytes: u64,
}

/// Called with what is known of the build that the index makes the caller wait for.
pub type OnWait<'a> = &'a mut (dyn FnMut(Waiting) + Send);

/// The index gave no answer, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the cache index: {0}")]
pub struct IndexFailure(pub String);

/// The control plane's index of the cache.
#[async_trait]
pub trait CacheIndex: Send + Sync {
    /// Looks up a key for a platform. May take as long as another node builds it; dropping the future ends the wait.
    async fn resolve(
        &self,
        attempt: &AttemptRef,
        question: Question<'_>,
        on_wait: OnWait<'_>,
    ) -> Result<Resolution, IndexFailure>;
    /// Adds an entry for a pushed image.
    async fn commit(
        &self,
        attempt: &AttemptRef,
        image: &PushedImage<'_>,
    ) -> Result<(), IndexFailure>;
    /// Reports that an entry's image is gone from the registry.
    async fn drop_entry(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        key: &CacheKey,
        digest: &Digest,
        why: Dropped<'_>,
    ) -> Result<(), IndexFailure>;
    /// The build cache that a build may read, by its digest in the repository.
    async fn build_cache(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        service: Option<&ServiceName>,
    ) -> Result<ReadableCache, IndexFailure>;
    /// Notes the build cache that a build of the key wrote, whose generation was told before.
    async fn commit_build_cache(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        service: Option<&ServiceName>,
        key: &CacheKey,
        digest: &Digest,
        generation: u64,
    ) -> Result<(), IndexFailure>;
    /// The newest image of the attempt's configuration that the cache has: of its ref, else of the default branch.
    async fn last_good(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        platform: &Platform,
    ) -> Result<Option<EarlierImage>, IndexFailure>;
}

/// A build cache that a build may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadableCache {
    /// Its digest, if there is one.
    pub digest: Option<Digest>,
    /// What the index wants to be told with what the build writes.
    pub generation: u64,
}

/// Why an entry is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped<'a> {
    /// The registry does not have its image.
    Missing,
    /// BuildKit would have executed this step again.
    Executed(&'a str),
    /// BuildKit would have made another configuration: these of its properties differ.
    Differs(&'a str),
}
