use async_trait::async_trait;
use hearth_api::v1::{CacheEntry, CacheResult, CacheStats};
use prost_types::Timestamp;

use super::StoreError;

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
    /// The workspace.
    pub workspace_id: String,
    /// The attempt.
    pub attempt: u32,
    /// `<registry>/<path>` without tag.
    pub repository: String,
    /// The ref, as the request had it.
    pub git_ref: String,
    /// The configuration.
    pub config: String,
    /// `os/architecture`.
    pub platform: String,
    /// The key.
    pub key: String,
    /// Its manifest; empty when the agent did not send it.
    pub manifest: String,
    /// What it was told.
    pub decided: Decided,
    /// The entry that was found, or that the inputs were compared with.
    pub entry: Option<CacheEntry>,
    /// Bytes per second that the node fetched with before, if that was known.
    pub rate: Option<f64>,
}

/// Which entries are meant.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// `<registry>/<path>` without tag.
    pub repository: &'a str,
    /// The configuration; `None`: all.
    pub config: Option<&'a str>,
    /// How the key begins. Empty: all.
    pub key: &'a str,
}

/// What the control plane remembers of the cache. Every method is one transaction.
#[async_trait]
pub trait CacheStore: Send + Sync {
    /// The image for a key, and notes that it was asked for.
    async fn cache_hit(
        &self,
        repository: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<CacheEntry>, StoreError>;

    /// The image for a key.
    async fn cache_entry(
        &self,
        repository: &str,
        key: &str,
    ) -> Result<Option<CacheEntry>, StoreError>;

    /// The newest entry of a repository, configuration and platform.
    async fn newest_cache_entry(
        &self,
        repository: &str,
        config: &str,
        platform: &str,
    ) -> Result<Option<CacheEntry>, StoreError>;

    /// Enters an image; the newest for a key replaces the one before.
    async fn put_cache_entry(&self, entry: &CacheEntry, now: Timestamp) -> Result<(), StoreError>;

    /// Drops the entry of a key if it still has this digest; whether it did.
    async fn drop_cache_entry(
        &self,
        repository: &str,
        key: &str,
        digest: &str,
    ) -> Result<bool, StoreError>;

    /// Entries with their numbers, newest first, beginning below `before`, without their manifests. An empty repository
    /// stands for all.
    async fn cache_entries(
        &self,
        repository: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, CacheEntry)>, StoreError>;

    /// Drops all entries that are meant and returns them.
    async fn drop_cache_entries(
        &self,
        selection: Selection<'_>,
    ) -> Result<Vec<CacheEntry>, StoreError>;

    /// Drops what was not used since, and what is more than the newest `keep` of a repository, configuration and
    /// platform, and returns it. Lookups from before go too, except the newest of each ref.
    async fn retire_cache_entries(
        &self,
        keep: u32,
        since: Timestamp,
    ) -> Result<Vec<CacheEntry>, StoreError>;

    /// Whether an entry of the repository names this digest.
    async fn is_cached(&self, repository: &str, digest: &str) -> Result<bool, StoreError>;

    /// Remembers what an attempt was told. The last answer counts.
    async fn put_lookup(&self, lookup: &Lookup, now: Timestamp) -> Result<(), StoreError>;

    /// What an attempt was told.
    async fn lookup(&self, workspace_id: &str, attempt: u32) -> Result<Option<Lookup>, StoreError>;

    /// What the newest attempt of a ref was told.
    async fn newest_lookup(
        &self,
        repository: &str,
        git_ref: &str,
        config: &str,
    ) -> Result<Option<Lookup>, StoreError>;

    /// Takes a measured fetch into a node's average.
    async fn note_fetch(&self, node: &str, bytes_per_second: f64) -> Result<(), StoreError>;

    /// How fast a node fetches, if that is known.
    async fn fetch_rate(&self, node: &str) -> Result<Option<f64>, StoreError>;

    /// Counts an attempt.
    async fn count_cache_result(
        &self,
        repository: &str,
        result: CacheResult,
        saved_seconds: f64,
    ) -> Result<(), StoreError>;

    /// Numbers by repository, most attempts first. One without a name counts attempts that have no cache.
    async fn cache_stats(&self) -> Result<Vec<CacheStats>, StoreError>;
}
