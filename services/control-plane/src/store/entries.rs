use async_trait::async_trait;
use hearth_api::v1::CacheEntry;
use prost_types::Timestamp;

use super::error::StoreError;

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

/// The index of cached images. Every method is one transaction.
#[async_trait]
pub trait EntryStore: Send + Sync {
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
}
