use hearth_domain::Digest;
use oci_spec::image::MediaType;
use serde_json::{Value, json};

use crate::frame_index::{FrameIndexError, LayerFrames, Rows};

/// A layer that is in the registry.
pub struct Sent {
    pub frames: LayerFrames,
    /// Its members, or why an index cannot list them.
    pub rows: Result<Rows, FrameIndexError>,
}

impl Sent {
    /// As the image's manifest names it.
    pub fn described(&self) -> Value {
        let LayerFrames { digest, bytes, .. } = &self.frames;
        described(&MediaType::ImageLayerZstd, digest, *bytes)
    }
}

/// A descriptor (OCI image spec).
pub fn described(media_type: &MediaType, digest: &Digest, bytes: u64) -> Value {
    json!({ "mediaType": media_type.to_string(), "digest": digest.as_str(), "size": bytes })
}
