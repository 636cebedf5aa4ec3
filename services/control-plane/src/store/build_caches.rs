use async_trait::async_trait;
use hearth_domain::{CacheRepository, ConfigName, Digest, Platform, ServiceName, WorkspaceId};
use prost_types::Timestamp;

use super::{entry::Place, error::StoreError};

/// A build cache that the build of a key wrote.
#[derive(Clone, Debug)]
pub struct BuildCache {
    /// The cache, and the key that was built.
    pub place: Place,
    /// The configuration; `None`: the default one.
    pub config: Option<ConfigName>,
    /// The service of its Docker Compose project; `None`: the devcontainer's own.
    pub service: Option<ServiceName>,
    /// What the image runs on.
    pub platform: Platform,
    /// The workspace that built.
    pub writer: WorkspaceId,
    /// Its digest.
    pub digest: Digest,
}

/// What a build may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// The newest build cache.
    pub digest: Option<Digest>,
    /// Changes when something of the repository's cache is removed on request.
    pub generation: u64,
}

/// The build caches that builds may read. Every method is one transaction.
#[async_trait]
pub trait BuildCacheStore: Send + Sync {
    /// The newest one of a repository, configuration, service and platform, and notes that it is used.
    async fn newest_build_cache(
        &self,
        repository: &CacheRepository,
        config: Option<&ConfigName>,
        service: Option<&ServiceName>,
        platform: &Platform,
        now: Timestamp,
    ) -> Result<Readable, StoreError>;

    /// The one that a workspace wrote when it built a key.
    async fn build_cache(&self, place: &Place, writer: &str) -> Result<Option<Digest>, StoreError>;

    /// Notes one, unless the generation has changed; whether it did. It becomes the newest.
    async fn put_build_cache(
        &self,
        cache: &BuildCache,
        generation: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}
