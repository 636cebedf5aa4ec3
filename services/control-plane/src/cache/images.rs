use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hearth_api::v1::CacheEntry;
use hearth_domain::{CacheKey, CacheReference, Platform};
use hearth_layers::{RegistryClient, RegistryError, RegistryLogin};

use super::logins::RegistryLogins;
use crate::{
    cache_target::registry_host,
    credentials::Rights,
    store::{Store, StoreError},
};

/// The key that an image was pushed under, written by the agent.
const KEY: &str = "dev.hearth.key";
/// `sha256:` and the digest of the key manifest, written by the agent.
const MANIFEST_DIGEST: &str = "dev.hearth.manifest-digest";
/// Whoever asks the index waits for this: a registry that is slow must not hold up a build.
const ADOPT: Duration = Duration::from_secs(3);
/// Who entered an image that was found in the registry.
const WRITER: &str = "registry";

/// The images behind the entries, in their registry.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// Registries that do not let anybody delete, as far as is known; logged once each.
    keeps: Mutex<HashSet<String>>,
}

impl Images {
    /// Deletes the images of entries that were dropped, unless another entry names them too. Returns what could not be
    /// done, in sentences.
    pub(crate) async fn delete(
        &self,
        store: &dyn Store,
        registry: &RegistryLogins<'_>,
        dropped: &[CacheEntry],
    ) -> Result<Vec<String>, StoreError> {
        let mut warnings = Vec::new();
        // One that cannot be had may take its time to say so: it is asked for once.
        let mut logins: HashMap<&str, Option<RegistryLogin>> = HashMap::new();
        for entry in dropped {
            if store.is_cached(&entry.repository, &entry.digest).await? {
                continue;
            }
            let image = format!("{}@{}", entry.repository, entry.digest);
            let login = match logins.get(entry.repository.as_str()) {
                Some(login) => Option::clone(login),
                None => {
                    let login = registry.of(&entry.repository, Rights::Write).await;
                    logins.insert(&entry.repository, login.clone());
                    login
                }
            };
            let client = RegistryClient::new(login, &entry.platform);
            match client.delete(&image).await {
                // Two entries of the same image, or somebody was quicker.
                Ok(()) | Err(RegistryError::NotFound(_)) => {}
                Err(RegistryError::Unsupported) => self.keep(entry, &mut warnings),
                Err(error) => {
                    tracing::warn!(%image, %error, "an image that is not used any more stays in the registry");
                    warnings.push(format!("{image} stays in the registry: {error}."));
                }
            }
        }
        Ok(warnings)
    }

    fn keep(&self, entry: &CacheEntry, warnings: &mut Vec<String>) {
        let registry = registry_host(&entry.repository).to_owned();
        let warning = format!(
            "The registry {registry} does not let images be deleted; they stay there until it removes them itself."
        );
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
        let mut keeps = self.keeps.lock().unwrap_or_else(PoisonError::into_inner);
        if keeps.insert(registry.clone()) {
            tracing::warn!(
                registry,
                "the registry does not let images be deleted: dropped entries leave theirs behind"
            );
        }
    }
}

/// Looks for an image that only the registry knows of. A tag can be written by anybody who may push, so it is believed
/// only if the image itself says that it is for this key. `rights` are those of whoever asks, so that its login serves here
/// too and no other is made.
pub(crate) async fn adopt(
    registry: &RegistryLogins<'_>,
    reference: &CacheReference,
    platform: &Platform,
    key: &CacheKey,
    rights: Rights,
) -> Option<CacheEntry> {
    let image = reference.entry(platform, key);
    let look = async {
        let login = registry.of(reference.repository().as_str(), rights).await;
        let client = RegistryClient::new(login, platform.as_str());
        let info = client.inspect(&image).await?;
        // By its digest: the tag may move between the two questions.
        let pinned = format!("{}@{}", reference.repository(), info.digest);
        let annotations = client.annotations(&pinned).await?;
        Ok::<_, RegistryError>((info, annotations))
    };
    let (info, annotations) = match tokio::time::timeout(ADOPT, look).await {
        Ok(Ok(found)) => found,
        Ok(Err(RegistryError::NotFound(_))) => return None,
        Ok(Err(error)) => {
            tracing::info!(%image, %error, "the registry was asked in vain for an image that the index does not know");
            return None;
        }
        Err(_) => {
            tracing::info!(%image, "the registry did not answer in time whether it has an image that the index does not know");
            return None;
        }
    };
    let manifest_digest = key.as_str().replacen("k1:", "sha256:", 1);
    let says = |name: &str, value: &str| annotations.get(name).is_some_and(|text| text == value);
    if !says(KEY, key.as_str()) || !says(MANIFEST_DIGEST, &manifest_digest) {
        tracing::warn!(%image, "an image in the registry does not say that it is for its key; not used");
        return None;
    }
    Some(CacheEntry {
        repository: reference.repository().to_string(),
        key: key.to_string(),
        digest: info.digest.to_string(),
        platform: platform.to_string(),
        bytes: info.bytes,
        writer: WRITER.to_owned(),
        ..CacheEntry::default()
    })
}
