use std::time::Duration;

use hearth_domain::{CacheKey, CacheReference, Platform, Repository};
use hearth_layers::{ImageInfo, RegistryError};
use hearth_signatures::{CLAIM_TYPE, Claim, Signature};

use super::{
    registry_logins::RegistryLogins,
    signing::{Signing, published},
};
use crate::credentials::Rights;

/// The asking attempt waits for this: a slow registry must not hold up a build.
const ADOPT: Duration = Duration::from_secs(3);

/// An image that only the registry knew of.
pub(super) struct Adopted {
    pub(super) image: ImageInfo,
    /// What the control plane once said of it, and its signature.
    pub(super) claim: Claim,
    pub(super) signature: Signature,
}

/// Looks for an image that only the registry knows of. Tags and annotations can be written by whoever may push, so it is
/// believed only if this control plane's key has signed that exactly this image is for this repository, key and platform.
/// `rights` are those of the asking attempt, so that its login is used here too and no other is made.
pub(super) async fn adopt(
    registry: &RegistryLogins,
    signing: &Signing,
    source: &Repository,
    reference: &CacheReference,
    platform: &Platform,
    key: &CacheKey,
    rights: Rights,
) -> Option<Adopted> {
    let keys = signing.keys()?;
    let (image, repository) = (reference.entry(platform, key), reference.repository());
    let look = async {
        let client = registry
            .client(Some(source), repository, rights, platform)
            .await;
        let info = client.inspect(&image).await?;
        let signed = published(&client, repository, &info.digest, CLAIM_TYPE).await?;
        Ok::<_, RegistryError>((info, signed))
    };
    let (info, signed) = match tokio::time::timeout(ADOPT, look).await {
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
    let is_meant = |claim: &Claim| {
        claim.digest == info.digest
            && claim.repository == *repository
            && claim.key == *key
            && claim.platform == *platform
    };
    let mut claims = signed.into_iter().filter_map(|one| {
        let claim = Claim::read(&one.bundle, keys).ok()?;
        is_meant(&claim).then_some((claim, one.bundle.signature))
    });
    let Some((claim, signature)) = claims.next() else {
        tracing::warn!(%image, "an image in the registry is not signed for its key; not used");
        return None;
    };
    Some(Adopted {
        image: info,
        claim,
        signature,
    })
}
