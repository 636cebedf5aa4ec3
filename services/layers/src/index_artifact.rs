//! The artifact that keeps the frame index of an image in a registry (docs/frame-index.md). All of it follows from the image, so
//! that it can be found, and removed with it.

use hearth_domain::{
    Digest,
    annotation::{FRAME_INDEX, KEY},
};
use oci_spec::image::MediaType;
use reqwest::{Method, header};
use serde_json::json;

use crate::{
    RegistryClient, RegistryError,
    access::finish,
    artifacts::{EMPTY, EMPTY_TYPE},
    client::in_time,
};

/// Of the index, and of its artifact.
const INDEX_TYPE: &str = "application/vnd.hearth.frame-index.v1+zstd";
/// Annotation: the configuration of the image that the index is of.
const CONFIG: &str = "dev.hearth.config";

/// The tag of the index of an image with this tag.
#[cfg(feature = "engine")]
pub(crate) fn index_tag(of: &str) -> String {
    format!("{of}-frames")
}

/// What the index is of.
pub(crate) struct IndexOf<'a> {
    /// Digest of the image's configuration.
    pub config: &'a Digest,
    /// The image's key.
    pub key: &'a str,
}

impl IndexOf<'_> {
    /// The manifest of the artifact.
    pub fn manifest(&self, index: &Digest, bytes: u64) -> Vec<u8> {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "artifactType": INDEX_TYPE,
            "config": { "mediaType": EMPTY_TYPE, "digest": Digest::of(EMPTY).as_str(), "size": EMPTY.len() },
            "layers": [{ "mediaType": INDEX_TYPE, "digest": index.as_str(), "size": bytes }],
            "annotations": { KEY: self.key, CONFIG: self.config.as_str() },
        });
        manifest.to_string().into_bytes()
    }
}

impl RegistryClient {
    /// The digest of the artifact with the frame index of `image` (`repository@digest`), if it has one.
    pub async fn frame_index(&self, image: &str) -> Result<Option<Digest>, RegistryError> {
        let found = self.find(image).await?;
        let annotations = found.annotations();
        let Some(index) = annotations.get(FRAME_INDEX) else {
            return Ok(None);
        };
        let (Ok(index), Ok(config)) = (
            index.parse::<Digest>(),
            found.manifest.config().digest().to_string().parse(),
        ) else {
            return Ok(None);
        };
        let path = format!("blobs/{index}");
        let blob = match in_time(found.access.send(Method::HEAD, &path)).await {
            Err(RegistryError::NotFound(_)) => return Ok(None),
            blob => blob?,
        };
        let bytes = blob.headers().get(header::CONTENT_LENGTH);
        let bytes = bytes.and_then(|bytes| bytes.to_str().ok()?.parse().ok());
        finish(blob).await;
        let of = IndexOf {
            config: &config,
            key: annotations.get(KEY).map_or("", String::as_str),
        };
        Ok(bytes.map(|bytes| Digest::of(of.manifest(&index, bytes))))
    }
}
