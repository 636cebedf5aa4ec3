use std::time::Duration;

use async_trait::async_trait;
use hearth_api::v1::{CacheResult, CacheStats};
use hearth_domain::{
    AttemptRef, CacheKey, CacheRepository, ConfigName, GitRef, KeyedManifest, Platform, ServiceName,
};
use prost_types::Timestamp;

use super::{
    entry::{Entry, Place},
    error::StoreError,
};

/// What the index answered to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// There was an image.
    Hit,
    /// There was none.
    Build,
    /// There was one, and fetching it was expected to take longer than building.
    Slower,
}

/// What an attempt asked of the cache and what it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// The attempt.
    pub attempt: AttemptRef,
    /// What it asked for.
    pub place: Place,
    /// The ref of its request.
    pub git_ref: GitRef,
    /// The configuration; `None`: the default one.
    pub config: Option<ConfigName>,
    /// The service of its Docker Compose project; `None`: the devcontainer's own.
    pub service: Option<ServiceName>,
    /// What the image is to run on.
    pub platform: Platform,
    /// The inputs behind the key. `None` when the agent did not send them.
    pub manifest: Option<KeyedManifest>,
    /// What it was told.
    pub decided: Decided,
    /// The entry that was found, or that the inputs were compared with.
    pub entry: Option<Entry>,
    /// Bytes per second that the node fetched with before, if that was known.
    pub rate: Option<f64>,
    /// What an audit found wrong with the image that it was told of; empty: nothing.
    pub finding: String,
}

impl Lookup {
    /// The configuration's name; empty for the default one.
    pub(crate) fn config_text(&self) -> &str {
        self.config.as_ref().map_or("", ConfigName::as_str)
    }

    /// The service's name; empty for the devcontainer's own image.
    pub(crate) fn service_text(&self) -> &str {
        self.service.as_ref().map_or("", ServiceName::as_str)
    }
}

/// How fast a node fetches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FetchRate {
    /// A moving average.
    pub bytes_per_second: f64,
    /// How many images were too slow to fetch by it, since it was measured or tried.
    pub passed_over: u32,
    /// Whether one was fetched all the same since it was measured.
    pub tried: bool,
    /// Since it was measured or tried, as time that the control plane has run.
    pub age: Duration,
}

/// What the control plane remembers of the cache's use. Every method is one transaction.
#[async_trait]
pub trait LookupStore: Send + Sync {
    /// Remembers what an attempt was told. The last answer for each service counts.
    async fn put_lookup(&self, lookup: &Lookup, now: Timestamp) -> Result<(), StoreError>;

    /// Remembers what an audit found wrong with the image of a key that an attempt was told of.
    async fn put_finding(
        &self,
        attempt: &AttemptRef,
        key: &CacheKey,
        finding: &str,
    ) -> Result<(), StoreError>;

    /// What an attempt was told, of the devcontainer's own image first and of each service's after it, in the order of
    /// their names.
    async fn lookups(&self, attempt: &AttemptRef) -> Result<Vec<Lookup>, StoreError>;

    /// What the newest attempt of a ref was told, in the same order.
    async fn newest_lookups(
        &self,
        repository: &CacheRepository,
        git_ref: &GitRef,
        config: Option<&ConfigName>,
    ) -> Result<Vec<Lookup>, StoreError>;

    /// Remembers how fast a node fetches.
    async fn put_fetch_rate(&self, node: &str, rate: FetchRate) -> Result<(), StoreError>;

    /// How fast a node fetches, if that is known.
    async fn fetch_rate(&self, node: &str) -> Result<Option<FetchRate>, StoreError>;

    /// Counts an attempt; `None`: of a repository without a cache.
    async fn count_cache_result(
        &self,
        repository: Option<&CacheRepository>,
        result: CacheResult,
        saved_seconds: f64,
    ) -> Result<(), StoreError>;

    /// Numbers by repository, most attempts first. One without a name counts attempts that have no cache.
    async fn cache_stats(&self) -> Result<Vec<CacheStats>, StoreError>;
}
