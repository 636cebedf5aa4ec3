use std::time::Duration;

use hearth_api::v1::CacheEntry;
use hearth_domain::{CacheKey, CacheReference, Platform, annotation};
use hearth_layers::RegistryError;

use super::registry_logins::RegistryLogins;
use crate::credentials::Rights;

/// Whoever asks the index waits for this: a registry that is slow must not hold up a build.
const ADOPT: Duration = Duration::from_secs(3);
/// Who entered an image that was found in the registry.
const WRITER: &str = "registry";

/// Looks for an image that only the registry knows of. A tag can be written by anybody who may push, so it is believed
/// only if the image itself says that it is for this key. `rights` are those of whoever asks, so that its login serves here
/// too and no other is made.
pub(super) async fn adopt(
    registry: &RegistryLogins,
    reference: &CacheReference,
    platform: &Platform,
    key: &CacheKey,
    rights: Rights,
) -> Option<CacheEntry> {
    let image = reference.entry(platform, key);
    let look = async {
        let repository = reference.repository().as_str();
        let client = registry.client(repository, rights, platform.as_str()).await;
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
    let says = |name: &str, value: &str| annotations.get(name).is_some_and(|text| text == value);
    if !says(annotation::KEY, key.as_str())
        || !says(annotation::MANIFEST_DIGEST, key.manifest_digest().as_str())
    {
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
