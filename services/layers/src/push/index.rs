//! Sends the frame index of an image.

use hearth_domain::{Digest, annotation::KEY};

use super::{blob::Blob, built::Built, sent::Sent, upload::Uploads};
use crate::{
    RegistryError,
    artifacts::EMPTY,
    frame_index::{FrameIndexError, Merge},
    index_artifact::{IndexOf, index_tag},
    spool::Spool,
};

/// Why an image has no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It is no archive as hearth knows them, or has members that an index cannot have.
    #[error("the members of the layer {layer} cannot be listed: {cause}")]
    Unlisted {
        /// Digest of its archive.
        layer: Digest,
        cause: FrameIndexError,
    },
    #[error(transparent)]
    Unwritten(#[from] FrameIndexError),
    #[error(transparent)]
    Machine(#[from] std::io::Error),
}

/// Sends it, as an artifact with a tag of its own, since the image names the index and cannot be named by it. Returns its
/// digest.
pub async fn send_index(
    built: &Built,
    layers: Vec<Sent>,
    uploads: &Uploads<'_>,
    tag: &str,
    spool: &Spool,
) -> Result<Digest, IndexError> {
    let layers = layers.into_iter().map(|Sent { frames, rows }| {
        let layer = frames.diff_id.clone();
        let rows = rows.map_err(|cause| IndexError::Unlisted { layer, cause })?;
        Ok((frames, rows))
    });
    let layers = layers.collect::<Result<Vec<_>, IndexError>>()?;
    let file = spool.file()?;
    Merge::new(layers).write(&file)?;
    let index = Blob::of_file(file.into_file())?;
    let artifact = IndexOf {
        config: &built.config().digest,
        key: built.annotations.get(KEY).map_or("", String::as_str),
    };
    let artifact = artifact.manifest(&index.digest, index.bytes);
    uploads.send(&index).await?;
    uploads.send(&Blob::of(EMPTY)).await?;
    uploads.put_manifest(&index_tag(tag), artifact).await?;
    Ok(index.digest)
}
