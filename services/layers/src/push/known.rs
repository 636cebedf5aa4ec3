//! Layers that hearth has pushed before, by the frame index of an image that has them: they are neither encoded nor sent again.

use std::{collections::HashMap, time::Duration};

use hearth_domain::{Digest, annotation::FRAME_INDEX};
use tokio::time::timeout;

use super::sent::Sent;
use crate::{
    RegistryClient, RegistryError,
    access::read_body,
    frame_index::{FrameIndex, FrameIndexError, Rows},
    image::Image,
    spool::Spool,
};

/// Bytes of an index as it is in a registry.
const MAX_INDEX: usize = 64 * 1024 * 1024;

/// A push does without an index that takes longer.
const INDEX_TIMEOUT: Duration = Duration::from_secs(30);

/// Why it is not known what an image has.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Index(#[from] FrameIndexError),
    #[error("its frame index did not arrive within {} s", INDEX_TIMEOUT.as_secs())]
    Slow,
    #[error("its frame index is not the one that it names, or is of another image")]
    Other,
    #[error(transparent)]
    Machine(#[from] std::io::Error),
}

/// Layers by the digests of their archives.
#[derive(Default)]
pub struct Known(HashMap<Digest, Sent>);

impl Known {
    /// The layers of `image` (`repository@digest`) that are `wanted`. None of them if it has no index: then they are not in
    /// frames. Nor if the index does not say what manifest and configuration say.
    pub async fn of(
        image: &str,
        client: &RegistryClient,
        wanted: impl Fn(&Digest) -> bool,
        spool: &Spool,
    ) -> Result<Self, KnownError> {
        let none = || Ok(Self::default());
        let found = client.find(image).await?;
        let Some(index) = found.annotations().remove(FRAME_INDEX) else {
            return none();
        };
        let Ok(index) = index.parse::<Digest>() else {
            return none();
        };
        let blob = found.access.blob(index.as_str(), None).await;
        let blob = read_body(blob.map_err(|refused| refused.error)?, MAX_INDEX);
        let blob = timeout(INDEX_TIMEOUT, blob).await;
        let blob = blob.map_err(|_| KnownError::Slow)??;
        if Digest::of(&blob) != index {
            return Err(KnownError::Other);
        }
        let config = found.config(image).await?;
        let image = Image::new(image, &found, config)?;
        let index = FrameIndex::open(&blob)?;
        let is_same = index.layers().len() == image.layers.len()
            && index.layers().iter().zip(&image.layers).all(|(is, said)| {
                (&is.digest, is.bytes, &is.diff_id) == (&said.digest, said.bytes, &said.diff_id)
            });
        if !is_same {
            return Err(KnownError::Other);
        }
        let mut rows = Vec::new();
        for layer in index.layers() {
            rows.push(match wanted(&layer.diff_id) {
                true => Some(Rows::new(spool.file()?)),
                false => None,
            });
        }
        let layers = index.entries(|entry| {
            let number = usize::try_from(entry.layer).unwrap_or(usize::MAX);
            match rows.get_mut(number) {
                Some(Some(rows)) => rows.add(&entry),
                _ => Ok(()),
            }
        })?;
        let known = layers.into_iter().zip(rows).filter_map(|(frames, rows)| {
            let rows = Ok(rows?);
            Some((frames.diff_id.clone(), Sent { frames, rows }))
        });
        Ok(Self(known.collect()))
    }

    /// The layer with this archive.
    pub fn take(&mut self, diff_id: &Digest) -> Option<Sent> {
        self.0.remove(diff_id)
    }
}
