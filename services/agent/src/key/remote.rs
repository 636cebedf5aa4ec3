//! Inputs that are not in the clone.

use hearth_domain::Input;
use oci_spec::distribution::Reference;

use super::{
    error::KeyError,
    source::{Reading, ResolveImage},
};

/// The digest of an image. The registry is not asked when the reference has one.
pub(super) async fn image_digest(
    reference: &str,
    resolver: &dyn ResolveImage,
) -> Result<String, KeyError> {
    let parsed: Option<Reference> = reference.parse().ok();
    if let Some(digest) = parsed.as_ref().and_then(Reference::digest) {
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

/// Enters something that is downloaded. Without a pin (a checksum or a commit), only BuildKit can see whether it changed.
pub(super) fn add_download(url: &str, pin: Option<&str>, reading: &mut Reading) {
    if pin.is_none() {
        reading.unpinned.push(url.to_owned());
    }
    reading
        .manifest
        .insert(Input::Remote, url, pin.unwrap_or("unpinned"));
}
