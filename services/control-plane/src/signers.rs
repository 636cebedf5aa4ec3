use std::sync::Arc;

use anyhow::Context as _;
use hearth_signatures::Signer;

use crate::{
    cache::{SigningKeys, earlier_keys, signing_key},
    config::Config,
};

/// Who signs the entries of the cache, if anybody does, and whose signatures count.
pub(crate) fn signing_keys(config: &Config) -> anyhow::Result<Option<SigningKeys>> {
    let Some(file) = &config.signing_key else {
        tracing::warn!(
            "entries of the cache are not signed, and images that only the registry knows of are not used: there is no --signing-key (HEARTH_SIGNING_KEY)"
        );
        return Ok(None);
    };
    let key = signing_key(file).context("--signing-key (HEARTH_SIGNING_KEY)")?;
    tracing::info!(
        file = %file.display(),
        key.sha256 = key.public_key().fingerprint(),
        "entries of the cache are signed"
    );
    let keys = SigningKeys::new(Arc::new(key));
    let Some(file) = &config.earlier_public_keys else {
        return Ok(Some(keys));
    };
    let earlier = earlier_keys(file);
    let keys = earlier.and_then(|earlier| keys.and_earlier(earlier).map_err(Into::into));
    let keys = keys.with_context(|| {
        format!(
            "--earlier-public-keys (HEARTH_EARLIER_PUBLIC_KEYS): {}",
            file.display()
        )
    });
    keys.map(Some)
}
