use std::time::Duration;

use async_trait::async_trait;
use hearth_domain::{CacheRepository, ConfigName, Digest, Platform, ServiceName};
use hearth_signatures::Signature;
use prost_types::Timestamp;

use super::{
    entry::{Entry, Place},
    error::StoreError,
};

/// Which entries are meant.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Where the cache is.
    pub repository: &'a CacheRepository,
    /// The configuration; `None`: all.
    pub config: Option<&'a str>,
    /// How the key begins. Empty: all.
    pub key: &'a str,
}

/// The index of cached images. Every method is one transaction.
#[async_trait]
pub trait EntryStore: Send + Sync {
    /// The image for a key, and notes that it is used.
    async fn cache_hit(&self, place: &Place, now: Timestamp) -> Result<Option<Entry>, StoreError>;

    /// Notes that the image of a key, or the build cache that its build wrote, is used by an attempt that did not write it;
    /// once an hour at most. What is found is found, whether or not this can be noted.
    async fn note_cache_use(&self, place: &Place, now: Timestamp);

    /// The image for a key.
    async fn cache_entry(&self, place: &Place) -> Result<Option<Entry>, StoreError>;

    /// The newest entry of a repository, configuration, service (`None`: the devcontainer's own) and platform.
    async fn newest_cache_entry(
        &self,
        repository: &CacheRepository,
        config: Option<&ConfigName>,
        service: Option<&ServiceName>,
        platform: &Platform,
    ) -> Result<Option<Entry>, StoreError>;

    /// The newest entry of a repository, configuration and platform that was built from one of these refs, by their texts.
    async fn newest_of_refs(
        &self,
        repository: &CacheRepository,
        config: Option<&ConfigName>,
        platform: &Platform,
        refs: &[String],
    ) -> Result<Option<Entry>, StoreError>;

    /// The newest entry of each service of a repository, configuration and platform, without their manifests, at most `limit`.
    async fn newest_of_services(
        &self,
        repository: &CacheRepository,
        config: Option<&ConfigName>,
        platform: &Platform,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Enters an image; the newest for a key replaces the one before. False, and nothing is entered: the key was removed on
    /// request since its writer asked for it. An image that was found in the registry has no writer that asked.
    async fn put_cache_entry(&self, entry: &Entry, now: Timestamp) -> Result<bool, StoreError>;

    /// Notes the signature of the entry of a key if it still has this digest.
    async fn sign_cache_entry(
        &self,
        place: &Place,
        digest: &Digest,
        signature: &Signature,
    ) -> Result<(), StoreError>;

    /// Drops the entry of a key if it still has this digest; whether it did.
    async fn drop_cache_entry(&self, place: &Place, digest: &Digest) -> Result<bool, StoreError>;

    /// Entries with their numbers, newest first, beginning below `before`, without their manifests. Without
    /// `repository`: of all. `None`, and logged: it cannot be read.
    async fn cache_entries(
        &self,
        repository: Option<&CacheRepository>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, Option<Entry>)>, StoreError>;

    /// Drops all entries that are meant and returns them. Remembers that they were removed: see [`Self::put_cache_entry`].
    /// Where all keys are meant, or one by all of its digits, that goes for those too that have no entry.
    async fn drop_cache_entries(&self, selection: Selection<'_>) -> Result<Vec<Entry>, StoreError>;

    /// Drops what was not used for so long, and of a repository, configuration, service and platform what is more than `keep`, least
    /// recently used first; returns it. What was found within the last days is never too much, nor is the newest. Lookups
    /// and build caches that are as old go too, except the newest lookup of each ref. Time is [`RunTime`].
    ///
    /// [`RunTime`]: crate::clock::RunTime
    async fn retire_cache_entries(
        &self,
        keep: u32,
        unused_for: Duration,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Whether an entry of the repository names this digest.
    async fn is_cached(
        &self,
        repository: &CacheRepository,
        digest: &Digest,
    ) -> Result<bool, StoreError>;
}
