//! Sends the frame index of an image.

use hearth_domain::{Digest, annotation::KEY};

use super::{
    blob::Blob, built::Built, error::PushError, sent::Sent, spool::Spool, upload::Uploads,
};
use crate::{
    artifacts::EMPTY,
    frame_index::{LayerFrames, Merge, Rows},
    index_artifact::{IndexOf, index_tag},
};

/// Sends it, as an artifact with a tag of its own, since the image names the index and cannot be named by it. Returns its
/// digest. `None`: there is none, since a layer is no archive that hearth can read, or there are too many members.
pub async fn send_index(
    built: &Built,
    layers: Vec<Sent>,
    uploads: &Uploads<'_>,
    tag: &str,
    spool: &Spool,
) -> Result<Option<Digest>, PushError> {
    let layers = layers
        .into_iter()
        .map(|layer| Some((layer.frames, layer.rows?)));
    let Some(layers) = layers.collect::<Option<Vec<(LayerFrames, Rows)>>>() else {
        return Ok(None);
    };
    let file = spool.file()?;
    if !Merge::new(layers).write(&file)? {
        return Ok(None);
    }
    let index = Blob::of_file(file)?;
    let artifact = IndexOf {
        config: &built.config().digest,
        key: built.annotations.get(KEY).map_or("", String::as_str),
    };
    let artifact = artifact.manifest(&index.digest, index.bytes);
    uploads.send(&index).await?;
    uploads.send(&Blob::of(EMPTY)).await?;
    uploads.put_manifest(&index_tag(tag), artifact).await?;
    Ok(Some(index.digest))
}
