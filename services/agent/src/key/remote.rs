//! Inputs that are not in the clone.

use hearth_domain::Input;

use super::{
    error::KeyError,
    source::{KeyReading, ResolveImage},
};

/// The digest of an image; one that its reference names needs no registry.
pub(super) async fn image_digest(
    reference: &str,
    resolver: &dyn ResolveImage,
) -> Result<String, KeyError> {
    if let Some((_, digest)) = reference.split_once('@') {
        return Ok(digest.to_owned());
    }
    let digest = resolver.image_digest(reference).await;
    digest
        .map(|digest| digest.as_str().to_owned())
        .map_err(|why| KeyError::Unresolved {
            reference: reference.to_owned(),
            why,
        })
}

/// Enters something that is downloaded.
pub(super) async fn add_download(
    url: &str,
    pin: Option<&str>,
    resolver: &dyn ResolveImage,
    reading: &mut KeyReading,
) {
    let version = match pin {
        Some(pin) => Some(pin.to_owned()),
        None => resolver.remote_version(url).await,
    };
    if version.is_none() {
        reading.unpinned.push(url.to_owned());
    }
    reading
        .manifest
        .insert(Input::Remote, url, version.as_deref().unwrap_or("unpinned"));
}
