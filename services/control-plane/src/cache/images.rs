use std::{
    collections::{HashMap, HashSet, hash_map::Entry as Slot},
    sync::Arc,
};

use hearth_domain::CacheRepository;
use hearth_layers::{RegistryClient, RegistryError};
use parking_lot::Mutex;

use super::registry_logins::RegistryLogins;
use crate::{
    credentials::Rights,
    store::{Entry, Store, StoreError},
};

/// The images behind the entries, in their registry.
pub(crate) struct Images {
    store: Arc<dyn Store>,
    registry: Arc<RegistryLogins>,
    /// Registries that do not let anybody delete, as far as is known; logged once each.
    keeps: Mutex<HashSet<String>>,
}

impl Images {
    pub(crate) fn new(store: Arc<dyn Store>, registry: Arc<RegistryLogins>) -> Self {
        Self {
            store,
            registry,
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
            match client.delete(&image).await {
                // Two entries had the same image, or it was deleted by other means.
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
