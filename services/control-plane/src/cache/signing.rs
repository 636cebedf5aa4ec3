//! Signs what is entered into the index, so that agents, an index that was lost, and anybody with cosign can check it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};

use hearth_domain::{CacheRepository, Digest};
use hearth_layers::{Artifact, RegistryClient, RegistryError};
use hearth_runtime::Tasks;
use hearth_signatures::{
    BUNDLE_TYPE, Bundle, CLAIM_TYPE, COSIGN_TYPE, Claim, PublicKey, PublicKeyError, PublicKeys,
    SignError, Signature, Signer, Statement,
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
/// Until signatures are pushed again that the registry did not take: two hours in all.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_secs(1))
    .with_factor(4.0)
    .with_max_delay(Duration::from_secs(3600))
    .with_max_times(8)
    .with_jitter();

/// The key that entries are signed with, if there is one, and where signatures go.
pub(crate) struct Signing {
    key: Option<SigningKeys>,
    store: Arc<dyn Store>,
    registry: Arc<RegistryLogins>,
    tasks: Tasks,
}

/// The key that entries are signed with, and those whose signatures count.
pub(crate) struct SigningKeys {
    signer: Arc<dyn Signer>,
    /// That of the signer.
    own: PublicKeys,
    /// That and earlier ones.
    all: PublicKeys,
}

impl SigningKeys {
    pub(crate) fn new(signer: Arc<dyn Signer>) -> Self {
        let own = PublicKeys::from(signer.public_key().clone());
        Self {
            signer,
            all: own.clone(),
            own,
        }
    }

    pub(crate) fn and_earlier(self, earlier: PublicKeys) -> Result<Self, PublicKeyError> {
        let all = self.all.and(earlier)?;
        Ok(Self { all, ..self })
    }
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

impl SigningError {
    /// Whether it may be otherwise some time later.
    fn may_pass(&self) -> bool {
        !matches!(self, Self::Registry(RegistryError::Unsupported))
    }
}

/// With which key something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// The one that is signed with now.
    Now,
    /// An earlier one that counts.
    Earlier,
    /// None that counts.
    Not,
}

impl SigningKeys {
    fn which(&self, by: impl Fn(&PublicKeys) -> bool) -> Signed {
        if by(&self.own) {
            Signed::Now
        } else if by(&self.all) {
            Signed::Earlier
        } else {
            Signed::Not
        }
    }
}

impl Signing {
    pub(crate) fn new(
        key: Option<SigningKeys>,
        store: Arc<dyn Store>,
        registry: Arc<RegistryLogins>,
        tasks: Tasks,
    ) -> Self {
        Self {
            key,
            store,
            registry,
            tasks,
        }
    }

    /// The key that entries are signed with now.
    pub(crate) fn public_key(&self) -> Option<&PublicKey> {
        self.key.as_ref().map(|key| key.signer.public_key())
    }

    /// The keys whose signatures count: that one first.
    pub(crate) fn keys(&self) -> Option<&PublicKeys> {
        self.key.as_ref().map(|key| &key.all)
    }

    /// With which key the entry is signed. `None` where nothing is signed.
    pub(super) fn signed(&self, entry: &Entry) -> Option<Signed> {
        let key = self.key.as_ref()?;
        let statement = claim(entry).statement();
        let signature = entry.signature.as_ref();
        let by = |keys: &_| signature.is_some_and(|signature| statement.verify(keys, signature));
        Some(key.which(by))
    }

    /// With which key one of these bundles has the statement. `None` where nothing is signed.
    pub(super) fn signed_in(&self, statement: &Statement, there: &[Published]) -> Option<Signed> {
        let by = |keys: &_| there.iter().any(|one| statement.is_in(&one.bundle, keys));
        let key = self.key.as_ref()?;
        Some(key.which(by))
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

    /// Signs an entry of the index that no key has signed that counts: it is from before there was this key.
    pub(super) async fn keep_signed(self: &Arc<Self>, entry: &mut Entry) {
        if self.signed(entry) == Some(Signed::Not) && self.sign_again(entry).await {
            self.publish_later(entry.clone());
        }
    }

    /// Signs an entry of the index with the key of now, if an earlier one or none has.
    pub(super) async fn renew(&self, entry: &mut Entry) {
        if matches!(self.signed(entry), Some(Signed::Not | Signed::Earlier)) {
            self.sign_again(entry).await;
        }
    }

    async fn sign_again(&self, entry: &mut Entry) -> bool {
        self.sign(entry).await;
        let Some(signature) = &entry.signature else {
            return false;
        };
        let noted = self
            .store
            .sign_cache_entry(&entry.place, &entry.digest, signature);
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the signature of a cache entry is not kept; the next hit signs it again");
        }
        true
    }

    /// Pushes the signatures of an entry in the background, and tries again for some hours. Nothing waits for them: agents
    /// get theirs from the index.
    pub(super) fn publish_later(self: &Arc<Self>, entry: Entry) {
        if entry.signature.is_none() {
            return;
        }
        let (signing, stopping) = (self.clone(), self.tasks.stopping().clone());
        self.tasks.spawn("push signatures", async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = signing.publish_in_the_end(entry) => {}
            }
        });
    }

    async fn publish_in_the_end(&self, entry: Entry) {
        let image = entry.place.repository.image(&entry.digest);
        let mut pauses = PAUSES.build();
        let mut published = self.publish(&entry).await;
        // Its manifest is large, and there may be many that wait.
        let Entry { place, digest, .. } = entry;
        while let Err(error) = published {
            let pause = pauses.next().filter(|_| error.may_pass());
            tracing::warn!(
                %image,
                %error,
                again_after_seconds = pause.map(|pause| pause.as_secs()),
                "the signatures of a cached image are not in the registry; `hearth cache verify REPO --repair` pushes them"
            );
            let Some(pause) = pause else { return };
            tokio::time::sleep(pause).await;
            published = match self.store.cache_entry(&place).await {
                Ok(Some(entry)) if entry.digest == digest => self.publish(&entry).await,
                // It is not in the index any more.
                Ok(_) => return,
                Err(_) => Err(error),
            };
        }
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
                .any(|one| statement.is_in(&one.bundle, &key.own))
            {
                continue;
            }
            let signature = match kind {
                // A bundle names the key that is signed with now.
                CLAIM_TYPE if statement.verify(&key.own, signature) => signature.clone(),
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
