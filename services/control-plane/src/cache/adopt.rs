use std::time::Duration;

use hearth_domain::{CacheKey, CacheReference, Platform, Repository, annotation};
use hearth_layers::{ImageInfo, RegistryError};

use super::registry_logins::RegistryLogins;
use crate::credentials::Rights;

/// The asking attempt waits for this: a slow registry must not hold up a build.
const ADOPT: Duration = Duration::from_secs(3);

/// Looks for an image that only the registry knows of. A tag can be written by anybody who may push, so it is believed
/// only if the image itself says that it is for this key. `rights` are those of the asking attempt, so that its login is
/// used here too and no other is made.
pub(super) async fn adopt(
    registry: &RegistryLogins,
    source: &Repository,
    reference: &CacheReference,
    platform: &Platform,
    key: &CacheKey,
    rights: Rights,
) -> Option<ImageInfo> {
    let image = reference.entry(platform, key);
    let look = async {
        let client = registry
            .client(Some(source), reference.repository(), rights, platform)
            .await;
        let info = client.inspect(&image).await?;
        // By its digest: the tag may move between the two questions.
        let pinned = reference.repository().image(&info.digest);
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
    Some(info)
}
