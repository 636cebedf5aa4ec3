use std::sync::Arc;

use hearth_api::v1::ImageStore;
use hearth_domain::{AttemptRef, Digest, GitRef, ServiceName};

use super::{
    claims::Claims,
    neighbours::{Fetching, Neighbours, Offer},
    resolve::{Asked, Decisions, Question, Resolving},
    retention::Retention,
    rules::{CacheRules, CacheUse},
    signing::Signing,
    waiting::Waiting,
};
use crate::{
    clock::now,
    error::CallError,
    node::Standing,
    record::Record,
    store::{BuildCache, Entry, Place, Readable, Selection, Store},
};

/// The index of images, as attempts use it.
pub(crate) struct Index {
    store: Arc<dyn Store>,
    rules: Arc<CacheRules>,
    waiting: Arc<Waiting>,
    resolving: Arc<Resolving>,
    signing: Arc<Signing>,
    retention: Arc<Retention>,
    claims: Claims,
    neighbours: Neighbours,
}

impl Index {
    pub(crate) fn new(
        resolving: Resolving,
        rules: Arc<CacheRules>,
        retention: Arc<Retention>,
    ) -> Self {
        Self {
            store: resolving.store.clone(),
            rules,
            waiting: resolving.waiting.clone(),
            claims: Claims::new(
                resolving.store.clone(),
                resolving.registry.clone(),
                resolving.fleet.clone(),
            ),
            signing: resolving.signing.clone(),
            resolving: Arc::new(resolving),
            retention,
            neighbours: Neighbours::default(),
        }
    }

    /// The workspace of an attempt that is its newest.
    pub(crate) async fn workspace(&self, attempt: &AttemptRef) -> Result<Record, CallError> {
        let record = self.store.workspace(&attempt.workspace).await?;
        record
            .filter(|record| record.attempt() == *attempt)
            .ok_or_else(|| CallError::AttemptUnknown {
                id: attempt.workspace.to_string(),
                attempt: attempt.number,
            })
    }

    /// How a workspace uses its cache; `None` where it does not.
    pub(crate) fn cache_use(&self, record: &Record) -> Option<CacheUse> {
        self.rules.cache_use(&record.spec).ok()
    }

    /// Whether there is an image for a key, or it is to be built; the stream ends with one of them.
    pub(crate) async fn resolve(
        &self,
        record: &Record,
        cache: CacheUse,
        asked: Asked,
    ) -> Result<Decisions, CallError> {
        let resolving = self.resolving.clone();
        Question::new(resolving, record, cache, asked)?
            .answer()
            .await
    }

    /// Enters an image that an attempt has built and pushed, as the registry has it, signed.
    pub(crate) async fn commit(
        &self,
        record: &Record,
        cache: &CacheUse,
        entry: Entry,
    ) -> Result<(), CallError> {
        let mut entry = self.claims.pushed(record, cache, entry).await?;
        self.signing.sign(&mut entry).await;
        if !self.store.put_cache_entry(&entry, now()).await? {
            return Err(CallError::CacheMismatch(
                "the image is not entered into the index: its key was removed by `hearth cache rm` after the attempt had \
                 asked for it"
                    .to_owned(),
            ));
        }
        // After the write: the attempts that this wakes read the index.
        self.waiting.committed(&entry.place);
        tracing::info!(
            workspace.id = entry.writer,
            cache.repository = %entry.place.repository,
            cache.key = %entry.place.key,
            cache.digest = %entry.digest,
            "cache entry committed"
        );
        self.signing.publish_later(entry);
        self.retention.retire().await;
        Ok(())
    }

    /// The nodes that a node is to ask for an image which it begins to fetch for a workspace.
    pub(crate) fn neighbours(
        &self,
        record: &Record,
        cache: &CacheUse,
        digest: &Digest,
        offer: Option<Offer>,
    ) -> Result<Vec<Offer>, CallError> {
        let fleet = &self.resolving.fleet;
        let node = fleet.known(&record.workspace.node)?;
        let from = Fetching {
            node: node.name,
            boot_id: node.info.boot_id,
        };
        let is_there = |other: &Fetching| {
            fleet.get(&other.node).is_some_and(|node| {
                node.standing == Standing::Online && node.info.boot_id == other.boot_id
            })
        };
        let repository = cache.reference.repository();
        Ok(self
            .neighbours
            .join(repository, digest, from, offer, is_there))
    }

    /// The build cache that a build may read.
    pub(crate) async fn build_cache(
        &self,
        record: &Record,
        cache: &CacheUse,
        service: Option<&ServiceName>,
    ) -> Result<Readable, CallError> {
        let node = self.resolving.fleet.known(&record.workspace.node)?;
        let (repository, config) = (cache.reference.repository(), record.spec.config.as_ref());
        let newest =
            self.store
                .newest_build_cache(repository, config, service, &node.platform, now());
        let newest = newest.await?;
        if node.info.image_store() != ImageStore::Classic {
            return Ok(newest);
        }
        // Its images carry their own.
        let image = self
            .store
            .newest_cache_entry(repository, config, service, &node.platform)
            .await?;
        if let Some(image) = &image {
            self.store.note_cache_use(&image.place, now()).await;
        }
        Ok(Readable {
            digest: image.map(|image| image.digest),
            ..newest
        })
    }

    /// The newest image of the workspace's configuration: of its ref, else of the default branch. Signed as a hit is.
    pub(crate) async fn last_good(
        &self,
        record: &Record,
        cache: &CacheUse,
    ) -> Result<Option<Entry>, CallError> {
        let node = self.resolving.fleet.known(&record.workspace.node)?;
        let (repository, config) = (cache.reference.repository(), record.spec.config.as_ref());
        for refs in [texts(&record.spec.git_ref), texts(&GitRef::Default)] {
            let newest = self
                .store
                .newest_of_refs(repository, config, &node.platform, &refs);
            let Some(newest) = newest.await? else {
                continue;
            };
            // With its manifest, and noted as used.
            if let Some(mut entry) = self.store.cache_hit(&newest.place, now()).await? {
                self.signing.keep_signed(&mut entry).await;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Notes the build cache that a build of the workspace wrote.
    pub(crate) async fn commit_build_cache(
        &self,
        record: &Record,
        place: Place,
        service: Option<ServiceName>,
        digest: Digest,
        generation: u64,
    ) -> Result<(), CallError> {
        let node = self.resolving.fleet.known(&record.workspace.node)?;
        let cache = BuildCache {
            place,
            config: record.spec.config.clone(),
            service,
            platform: node.platform,
            writer: record.id.clone(),
            digest,
        };
        if !self
            .store
            .put_build_cache(&cache, generation, now())
            .await?
        {
            return Err(CallError::CacheMismatch(
                "the build cache is not noted: `hearth cache rm` removed something of this cache after the build had begun"
                    .to_owned(),
            ));
        }
        tracing::info!(
            workspace.id = %record.id,
            cache.repository = %cache.place.repository,
            cache.key = %cache.place.key,
            cache.digest = %cache.digest,
            "build cache committed"
        );
        Ok(())
    }

    /// Drops an entry whose image the registry does not have any more.
    pub(crate) async fn drop_missing(
        &self,
        record: &Record,
        cache: &CacheUse,
        place: &Place,
        digest: &Digest,
    ) -> Result<(), CallError> {
        self.claims.lost(record, cache, place, digest).await?;
        let dropped = self.store.drop_cache_entry(place, digest).await?;
        tracing::info!(
            workspace.id = %record.id,
            cache.repository = %place.repository,
            cache.key = %place.key,
            cache.digest = %digest,
            dropped,
            "the registry does not have this image any more"
        );
        Ok(())
    }

    /// Removes an entry whose image BuildKit would build otherwise, as if a user had asked for it: its image is not adopted
    /// again.
    pub(crate) async fn drop_wrong(
        &self,
        record: &Record,
        place: &Place,
        digest: &Digest,
        finding: &str,
    ) -> Result<(), CallError> {
        self.claims.told(record, place, digest).await?;
        let known = self.store.cache_entry(place).await?;
        if known.is_some_and(|known| known.digest != *digest) {
            // Another image has taken its place.
            return Ok(());
        }
        let selection = Selection {
            repository: &place.repository,
            config: Some(record.spec.config_text()),
            key: place.key.as_str(),
        };
        let dropped = self.store.drop_cache_entries(selection).await?;
        self.store
            .put_finding(&record.attempt(), &place.key, finding)
            .await?;
        tracing::warn!(
            workspace.id = %record.id,
            cache.repository = %place.repository,
            cache.key = %place.key,
            cache.digest = %digest,
            dropped = dropped.len(),
            finding,
            "an audit found that this image may not be what its inputs make"
        );
        Ok(())
    }
}

/// How requests write a ref. A short name is a branch where there is one.
fn texts(git_ref: &GitRef) -> Vec<String> {
    let mut texts = vec![git_ref.to_string()];
    match git_ref {
        GitRef::Name(name) => texts.push(GitRef::Branch(name.clone()).to_string()),
        GitRef::Branch(name) | GitRef::Tag(name) => texts.push(name.clone()),
        GitRef::Default | GitRef::Other(_) | GitRef::Commit(_) => {}
    }
    texts
}
