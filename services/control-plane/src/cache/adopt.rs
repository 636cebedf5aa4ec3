use std::time::Duration;

use hearth_domain::{CacheKey, CacheReference, Platform, Repository, annotation};
use hearth_layers::{ImageDescription, ImageInfo, RegistryError};

use super::registry_logins::RegistryLogins;
use crate::credentials::Rights;

/// The asking attempt waits for this: a slow registry must not hold up a build.
const ADOPT: Duration = Duration::from_secs(3);

/// Looks for an image that only the registry knows of. A tag can be written by anybody who may push, so it is believed
/// only if it [`is_ours`]. `rights` are those of the asking attempt, so that its login is used here too and no other is
/// made.
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
        client.describe(&image).await
    };
    let found = match tokio::time::timeout(ADOPT, look).await {
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
    match is_ours(&found, platform, key) {
        Ok(()) => Some(found.info),
        Err(why) => {
            tracing::warn!(%image, why, "an image in the registry is not used");
            None
        }
    }
}

/// Whether an image says itself that it is for this platform and key; if not, what it says instead.
pub(super) fn is_ours(
    found: &ImageDescription,
    platform: &Platform,
    key: &CacheKey,
) -> Result<(), String> {
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
