//! A way for tests into what lists the members of layers, without a registry and an engine.

use std::io::{self, Read as _, Seek as _};

use tokio_util::sync::CancellationToken;

use super::frames::encode;
use crate::{
    frame_index::{FrameIndex, FrameIndexError, Merge, Rows},
    spool::{Spool, SpoolFile},
};

/// Writes the index of an image of these archives, the lowest first, as a push does, and reads it as whoever has fetched it
/// does. Returns how many entries it has; `None`: the image would be pushed without an index.
///
/// # Errors
///
/// When the index cannot be read.
pub fn index(archives: &[&[u8]]) -> Result<Option<usize>, FrameIndexError> {
    let Ok(index) = written(archives) else {
        return Ok(None);
    };
    let mut count = 0;
    FrameIndex::open(&index)?.entries(|_| {
        count += 1;
        Ok(())
    })?;
    Ok(Some(count))
}

fn written(archives: &[&[u8]]) -> Result<Vec<u8>, FrameIndexError> {
    let mut layers = Vec::new();
    for archive in archives {
        let mut archive = *archive;
        let rows = Rows::new(file()?);
        let encoded = encode(&mut archive, &file()?, rows, &CancellationToken::new())?;
        layers.push((encoded.frames, encoded.rows?));
    }
    let (into, mut index) = (file()?, Vec::new());
    Merge::new(layers).write(&into)?;
    let mut into = into.into_file();
    into.rewind()?;
    into.read_to_end(&mut index)?;
    Ok(index)
}

fn file() -> io::Result<SpoolFile> {
    Spool::new(&std::env::temp_dir(), 0).file()
}
