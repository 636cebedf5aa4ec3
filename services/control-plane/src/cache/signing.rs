//! Signs what is entered into the index, so that agents, an index that was lost, and anybody with cosign can check it.

use std::{collections::BTreeMap, sync::Arc};

use hearth_domain::{CacheRepository, Digest};
use hearth_layers::{Artifact, RegistryClient, RegistryError};
use hearth_runtime::Tasks;
use hearth_signatures::{
    BUNDLE_TYPE, Bundle, CLAIM_TYPE, COSIGN_TYPE, Claim, PublicKey, PublicKeys, SignError,
    Signature, Signer, Statement,
};

use super::registry_logins::RegistryLogins;
use crate::{
    credentials::Rights,
    store::{Entry, Store},
};

/// Names the kind of statement of a bundle, which is also in it (cosign, "Bundle Format").
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// Says that a bundle has a statement.
const CONTENT: (&str, &str) = ("dev.sigstore.bundle.content", "dsse-envelope");
/// Bundles of an image that are looked at. Whoever may push can add to them, and all are in memory at once.
const MAX_BUNDLES: usize = 8;

/// The key that entries are signed with, if there is one, and where signatures go.
pub(crate) struct Signing {
    key: Option<Key>,
    store: Arc<dyn Store>,
    registry: Arc<RegistryLogins>,
    tasks: Tasks,
}

struct Key {
    signer: Arc<dyn Signer>,
    public: PublicKeys,
}

/// A signed statement in the registry.
pub(super) struct Published {
    /// Of the artifact that it is in.
    pub(super) artifact: Digest,
    pub(super) bundle: Bundle,
}

/// Why something is not signed, or its signatures are not in the registry.
#[derive(Debug, thiserror::Error)]
pub(super) enum SigningError {
    #[error(transparent)]
    Key(#[from] SignError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Signing {
    pub(crate) fn new(
        signer: Option<Arc<dyn Signer>>,
        store: Arc<dyn Store>,
        registry: Arc<RegistryLogins>,
        tasks: Tasks,
    ) -> Self {
        let key = signer.map(|signer| Key {
            public: signer.public_key().clone().into(),
            signer,
        });
        Self {
            key,
            store,
            registry,
            tasks,
        }
    }

    /// The key that signatures are verified with.
    pub(crate) fn public_key(&self) -> Option<&PublicKey> {
        self.key.as_ref().map(|key| key.signer.public_key())
    }

    pub(super) fn keys(&self) -> Option<&PublicKeys> {
        self.key.as_ref().map(|key| &key.public)
    }

    /// Whether the entry is signed with this key. `None` where nothing is signed.
    pub(super) fn is_signed(&self, entry: &Entry) -> Option<bool> {
        let keys = self.keys()?;
        let verified = |signature| claim(entry).statement().verify(keys, signature);
        Some(entry.signature.as_ref().is_some_and(verified))
    }

    /// Signs an entry, which is not stored yet. A failure of the key costs the signature and not the entry: it is signed when
    /// it is found.
    pub(super) async fn sign(&self, entry: &mut Entry) {
        entry.signature = None;
        let Some(key) = &self.key else { return };
        match claim(entry).statement().sign(key.signer.as_ref()).await {
            Ok(signature) => entry.signature = Some(signature),
            Err(error) => tracing::warn!(
                cache.repository = %entry.place.repository,
                cache.key = %entry.place.key,
                %error,
                "a cache entry is not signed"
            ),
        }
    }

    /// Signs an entry of the index that is not signed, or with another key: it is from before there was this key.
    pub(super) async fn keep_signed(self: &Arc<Self>, entry: &mut Entry) {
        if self.is_signed(entry) != Some(false) {
            return;
        }
        self.sign(entry).await;
        let Some(signature) = &entry.signature else {
            return;
        };
        let noted = self
            .store
            .sign_cache_entry(&entry.place, &entry.digest, signature);
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the signature of a cache entry is not kept; the next hit signs it again");
        }
        self.publish_later(entry.clone());
    }

    /// Pushes the signatures of an entry in the background. Nothing waits for them: agents get theirs from the index.
    pub(super) fn publish_later(self: &Arc<Self>, entry: Entry) {
        if entry.signature.is_none() {
            return;
        }
        let (signing, stopping) = (self.clone(), self.tasks.stopping().clone());
        self.tasks.spawn("push signatures", async move {
            let published = tokio::select! {
                () = stopping.cancelled() => return,
                published = signing.publish(&entry) => published,
            };
            if let Err(error) = published {
                let image = entry.place.repository.image(&entry.digest);
                tracing::warn!(
                    %image,
                    %error,
                    "the signatures of a cached image are not in the registry; `hearth cache verify REPO --repair` pushes them"
                );
            }
        });
    }

    /// Pushes those signatures of an entry that the registry does not have.
    pub(super) async fn publish(&self, entry: &Entry) -> Result<(), SigningError> {
        let (Some(key), Some(signature)) = (&self.key, &entry.signature) else {
            return Ok(());
        };
        let repository = &entry.place.repository;
        let client = self
            .registry
            .client(
                entry.source.as_ref(),
                repository,
                Rights::Write,
                &entry.platform,
            )
            .await;
        let mut missing = Vec::new();
        for statement in statements(entry) {
            let kind = statement.predicate_type();
            let there = published(&client, repository, &entry.digest, kind).await?;
            if there
                .iter()
                .any(|one| statement.is_in(&one.bundle, &key.public))
            {
                continue;
            }
            let signature = match kind {
                CLAIM_TYPE => signature.clone(),
                _ => statement.sign(key.signer.as_ref()).await?,
            };
            missing.push(artifact(statement, signature, key.signer.public_key()));
        }
        if !missing.is_empty() {
            client
                .attach(&repository.image(&entry.digest), &missing)
                .await?;
        }
        Ok(())
    }

    /// The artifacts with this key's signatures of an image.
    pub(super) async fn own_artifacts(
        &self,
        client: &RegistryClient,
        repository: &CacheRepository,
        image: &Digest,
    ) -> Result<Vec<Digest>, RegistryError> {
        let Some(keys) = self.keys() else {
            return Ok(Vec::new());
        };
        let for_cosign = Statement::for_cosign(image);
        let mut own = Vec::new();
        for kind in [COSIGN_TYPE, CLAIM_TYPE] {
            let there = published(client, repository, image, kind).await?;
            let is_own = |one: &Published| match kind {
                COSIGN_TYPE => for_cosign.is_in(&one.bundle, keys),
                _ => Claim::read(&one.bundle, keys).is_ok(),
            };
            own.extend(there.into_iter().filter(is_own).map(|one| one.artifact));
        }
        Ok(own)
    }
}

/// Both statements about an entry.
pub(super) fn statements(entry: &Entry) -> [Statement; 2] {
    [
        Statement::for_cosign(&entry.digest),
        claim(entry).statement(),
    ]
}

/// What is signed of an entry.
pub(super) fn claim(entry: &Entry) -> Claim {
    Claim {
        digest: entry.digest.clone(),
        repository: entry.place.repository.clone(),
        key: entry.place.key.clone(),
        platform: entry.platform.clone(),
        manifest: entry.manifest.clone(),
        config: entry.config_text().to_owned(),
        source: entry.source_text(),
        git_ref: entry.git_ref.to_string(),
        commit: entry.commit_text(),
    }
}

/// The bundles of an image that say that they have a statement of this kind. Whoever may push wrote them.
pub(super) async fn published(
    client: &RegistryClient,
    repository: &CacheRepository,
    image: &Digest,
    predicate_type: &str,
) -> Result<Vec<Published>, RegistryError> {
    let referrers = client
        .referrers(&repository.image(image), BUNDLE_TYPE)
        .await?;
    let is_meant = |annotations: &BTreeMap<String, String>| {
        annotations
            .get(PREDICATE_TYPE)
            .is_some_and(|kind| kind == predicate_type)
    };
    let meant = referrers
        .into_iter()
        .filter(|one| is_meant(&one.annotations));
    let mut found = Vec::new();
    for referrer in meant.take(MAX_BUNDLES) {
        let content = client.content(&repository.image(&referrer.digest)).await;
        match content.as_deref().map(Bundle::read) {
            Ok(Ok(bundle)) => found.push(Published {
                artifact: referrer.digest,
                bundle,
            }),
            // One that cannot be used does not hide the others.
            Ok(Err(_)) | Err(RegistryError::NotFound(_) | RegistryError::Protocol(_)) => {}
            Err(error) => return Err(error.clone()),
        }
    }
    Ok(found)
}

fn artifact(statement: Statement, signature: Signature, key: &PublicKey) -> Artifact {
    Artifact {
        media_type: BUNDLE_TYPE,
        annotations: BTreeMap::from([
            (CONTENT.0, CONTENT.1.to_owned()),
            (PREDICATE_TYPE, statement.predicate_type().to_owned()),
        ]),
        content: statement.bundle(signature).to_json(key),
    }
}
