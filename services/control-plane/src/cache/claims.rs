//! What attempts say of images, compared with what the control plane knows and sees itself: nothing of it is believed.

use std::{sync::Arc, time::Duration};

use hearth_api::v1::ImageStore;
use hearth_domain::{CacheKey, Digest, Platform, annotation};
use hearth_layers::{ImageDescription, RegistryError};

use super::{registry_logins::RegistryLogins, rules::CacheUse, waiting::may_commit};
use crate::{
    error::CallError,
    node::{Fleet, NodeView},
    record::Record,
    store::{Decided, Entry, Lookup, Place, Store},
};

/// Agents wait 10 s for an answer.
const LOOK: Duration = Duration::from_secs(8);

/// Checks the claims of attempts.
pub(super) struct Claims {
    store: Arc<dyn Store>,
    registry: Arc<RegistryLogins>,
    fleet: Arc<Fleet>,
}

impl Claims {
    pub(super) fn new(
        store: Arc<dyn Store>,
        registry: Arc<RegistryLogins>,
        fleet: Arc<Fleet>,
    ) -> Self {
        Self {
            store,
            registry,
            fleet,
        }
    }

    /// The entry of an image that an attempt says it has pushed, with the size that the registry tells. The attempt must
    /// have been told to build this key, and the image must say that it is for it.
    pub(super) async fn pushed(
        &self,
        record: &Record,
        cache: &CacheUse,
        entry: Entry,
    ) -> Result<Entry, CallError> {
        let refused = |why: String| {
            CallError::CacheMismatch(format!("the image is not entered into the index: {why}"))
        };
        if !may_commit(&record.workspace) {
            return Err(refused(
                "the attempt has ended, or reported its push".to_owned(),
            ));
        }
        let node = self.fleet.known(&record.workspace.node)?;
        let lookups = self.store.lookups(&record.attempt()).await?;
        let lookup = lookups
            .iter()
            .find(|asked| asked.service == entry.service && asked.place.key == entry.place.key)
            .or(lookups.first());
        let known = self.store.cache_entry(&entry.place).await?;
        was_asked_for(&entry, lookup, known.as_ref(), &node).map_err(refused)?;
        let image = entry.place.repository.image(&entry.digest);
        let client = self.registry.client(
            Some(&record.spec.repository),
            &entry.place.repository,
            cache.rights(),
            &node.platform,
        );
        let look = async { client.await.describe(&image).await };
        let found = match in_time(look).await {
            Ok(found) => found,
            Err(RegistryError::Unreachable(why)) => {
                return Err(CallError::RegistryUnavailable { image, why });
            }
            Err(error) => {
                return Err(refused(format!(
                    "the control plane looked for {image}, and {error}"
                )));
            }
        };
        is_what_was_asked_for(&found, &entry, node.info.image_store())
            .map_err(|why| refused(format!("the control plane looked at {image}: {why}")))?;
        Ok(Entry {
            bytes: found.info.bytes,
            ..entry
        })
    }

    /// Whether an attempt may have the entry dropped: it was told of it, and the registry does not have the whole image,
    /// or another one.
    pub(super) async fn lost(
        &self,
        record: &Record,
        cache: &CacheUse,
        place: &Place,
        digest: &Digest,
    ) -> Result<(), CallError> {
        let told = self.told(record, place, digest).await?;
        let image = place.repository.image(digest);
        let client = self.registry.client(
            Some(&record.spec.repository),
            &place.repository,
            cache.rights(),
            &told.platform,
        );
        let look = async {
            let client = client.await;
            let found = client.describe(&image).await?;
            Ok((found, client.lost_part(&image).await?))
        };
        let store = self.fleet.known(&record.workspace.node)?.info.image_store();
        match in_time(look).await {
            Err(RegistryError::NotFound(_)) | Ok((_, Some(_))) => Ok(()),
            Ok((found, None)) => match is_what_was_asked_for(&found, &told, store) {
                Ok(()) => Err(stays(format!("the registry has {image}"))),
                Err(_) => Ok(()),
            },
            Err(error) => Err(stays(format!(
                "the control plane looked for {image}, and {error}"
            ))),
        }
    }

    /// The entry, if it is the one that the attempt was told of.
    pub(super) async fn told(
        &self,
        record: &Record,
        place: &Place,
        digest: &Digest,
    ) -> Result<Entry, CallError> {
        let lookups = self.store.lookups(&record.attempt()).await?;
        let told = lookups
            .into_iter()
            .find(|lookup| lookup.decided == Decided::Hit && lookup.place == *place)
            .and_then(|lookup| lookup.entry)
            .filter(|entry| entry.digest == *digest);
        told.ok_or_else(|| stays("it is not the one that the attempt was told of".to_owned()))
    }
}

fn stays(why: String) -> CallError {
    CallError::CacheMismatch(format!("the entry stays in the index: {why}"))
}

async fn in_time<T>(
    look: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    let late = || RegistryError::Unreachable(format!("no answer within {} s", LOOK.as_secs()));
    let answer = tokio::time::timeout(LOOK, look).await;
    answer.unwrap_or_else(|_| Err(late()))
}

/// Compares with what the attempt had asked for and was told. Who is told to build has the lease, or was told to build
/// although another has it; so the answer that was given is what counts, also after a restart, which forgets leases.
/// `known`: what the index has for the key.
fn was_asked_for(
    entry: &Entry,
    lookup: Option<&Lookup>,
    known: Option<&Entry>,
    node: &NodeView,
) -> Result<(), String> {
    let Some(asked) = lookup else {
        return Err("the attempt has asked for no key".to_owned());
    };
    for (what, is, was) in [
        (
            "cache",
            entry.place.repository.as_str(),
            asked.place.repository.as_str(),
        ),
        ("key", entry.place.key.as_str(), asked.place.key.as_str()),
        ("configuration", entry.config_text(), asked.config_text()),
        ("service", entry.service_text(), asked.service_text()),
        ("platform", entry.platform.as_str(), asked.platform.as_str()),
        ("platform", entry.platform.as_str(), node.platform.as_str()),
    ] {
        if is != was {
            return Err(format!("its {what} is {is:?}, and the attempt's {was:?}"));
        }
    }
    let told = asked.entry.as_ref().map(|told| &told.digest);
    if asked.decided == Decided::Hit && told == known.map(|known| &known.digest) {
        return Err(
            "the attempt was told of an image for this key, which is in the registry; if nodes cannot use it, \
             remove it with `hearth cache rm`"
                .to_owned(),
        );
    }
    Ok(())
}

/// Compares with what the registry holds. The classic store cannot write annotations; where it has, they count.
fn is_what_was_asked_for(
    found: &ImageDescription,
    entry: &Entry,
    store: ImageStore,
) -> Result<(), String> {
    if found.info.digest != entry.digest {
        return Err(format!("its digest is {}", found.info.digest));
    }
    if store == ImageStore::Classic && found.annotations.is_empty() {
        return match found.platform == entry.platform.as_str() {
            true => Ok(()),
            false => Err(format!("it is for {}", found.platform)),
        };
    }
    is_ours(found, &entry.platform, &entry.place.key)
}

/// Whether an image says itself that it is for this platform and key; if not, what it says instead.
fn is_ours(found: &ImageDescription, platform: &Platform, key: &CacheKey) -> Result<(), String> {
    if found.platform != platform.as_str() {
        return Err(format!(
            "it is for {}, and the node of the attempt is {platform}",
            found.platform
        ));
    }
    let manifest = key.manifest_digest();
    for (name, wanted) in [
        (annotation::KEY, key.as_str()),
        (annotation::MANIFEST_DIGEST, manifest.as_str()),
    ] {
        match found.annotations.get(name) {
            Some(said) if said == wanted => {}
            Some(said) => {
                return Err(format!(
                    "its annotation {name} is {said:?}, and the key of the attempt makes it {wanted:?}"
                ));
            }
            None => return Err(format!("it has no annotation {name}")),
        }
    }
    Ok(())
}
