use std::{
    collections::{HashMap, HashSet, hash_map::Entry as Slot},
    sync::Arc,
};

use hearth_domain::{CacheRepository, Digest};
use hearth_layers::{RegistryClient, RegistryError};
use parking_lot::Mutex;

use super::{registry_logins::RegistryLogins, signing::Signing};
use crate::{
    credentials::Rights,
    store::{Entry, Store, StoreError},
};

/// The images behind the entries, in their registry.
pub(crate) struct Images {
    store: Arc<dyn Store>,
    registry: Arc<RegistryLogins>,
    signing: Arc<Signing>,
    /// Registries that do not let anybody delete, as far as is known; logged once each.
    keeps: Mutex<HashSet<String>>,
}

impl Images {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        registry: Arc<RegistryLogins>,
        signing: Arc<Signing>,
    ) -> Self {
        Self {
            store,
            registry,
            signing,
            keeps: Mutex::default(),
        }
    }

    /// Deletes the images of entries that were dropped, unless another entry names them too. Returns what could not be
    /// done, in sentences.
    pub(crate) async fn delete(&self, dropped: &[Entry]) -> Result<Vec<String>, StoreError> {
        let mut warnings = Vec::new();
        // A login that cannot be had may take its time to say so: it is asked for once.
        let mut clients: HashMap<&CacheRepository, RegistryClient> = HashMap::new();
        for entry in dropped {
            let repository = &entry.place.repository;
            if self.store.is_cached(repository, &entry.digest).await? {
                continue;
            }
            let image = repository.image(&entry.digest);
            let client = match clients.entry(repository) {
                Slot::Occupied(client) => client.into_mut(),
                Slot::Vacant(slot) => {
                    let (source, rights) = (entry.source.as_ref(), Rights::Write);
                    let client = self
                        .registry
                        .client(source, repository, rights, &entry.platform);
                    slot.insert(client.await)
                }
            };
            // Some registries do not say any more what refers to an image that is gone.
            let signatures = self
                .signing
                .own_artifacts(client, repository, &entry.digest);
            let signatures = signatures.await;
            // What it is follows from the image.
            let index = client.frame_index(&image).await;
            match client.delete(&image).await {
                // Two entries had the same image, or it was deleted by other means.
                Ok(()) | Err(RegistryError::NotFound(_)) => {
                    detach(client, &image, signatures).await;
                    delete_index(client, repository, &image, index).await;
                }
                Err(RegistryError::Unsupported) => self.keep(entry, &mut warnings),
                Err(error) => {
                    tracing::warn!(%image, %error, "an image that is not used any more stays in the registry");
                    warnings.push(format!("{image} stays in the registry: {error}."));
                }
            }
        }
        Ok(warnings)
    }

    fn keep(&self, entry: &Entry, warnings: &mut Vec<String>) {
        let registry = entry.place.repository.registry_host().to_owned();
        let warning = format!(
            "The registry {registry} does not let images be deleted; they stay there until it removes them itself."
        );
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
        let mut keeps = self.keeps.lock();
        if keeps.insert(registry.clone()) {
            tracing::warn!(
                registry,
                "the registry does not let images be deleted: dropped entries leave theirs behind"
            );
        }
    }
}

/// Deletes the frame index of an image that is gone.
async fn delete_index(
    client: &RegistryClient,
    repository: &CacheRepository,
    image: &str,
    index: Result<Option<Digest>, RegistryError>,
) {
    let deleted = match index {
        Ok(None) | Err(RegistryError::NotFound(_)) => return,
        Ok(Some(index)) => client.delete(&repository.image(&index)).await,
        Err(error) => Err(error),
    };
    match deleted {
        Ok(()) | Err(RegistryError::NotFound(_)) => {}
        Err(error) => {
            tracing::info!(%image, %error, "the frame index of an image that was deleted stays in the registry");
        }
    }
}

/// Deletes the signatures of an image that is gone. They are small, and say nothing of any other image.
async fn detach(
    client: &RegistryClient,
    image: &str,
    signatures: Result<Vec<Digest>, RegistryError>,
) {
    let detached = match signatures {
        Ok(signatures) if signatures.is_empty() => return,
        Ok(signatures) => client.detach(image, &signatures).await,
        Err(error) => Err(error),
    };
    if let Err(error) = detached {
        tracing::info!(%image, %error, "the signatures of an image that was deleted stay in the registry");
    }
}
