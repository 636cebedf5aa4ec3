//! Writes an index: the members of all layers, and which of them the image has (OCI image spec, "Applying Changesets").

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _},
};

use super::{Entry, FRAME, FrameIndexError, Head, LayerFrames, Type, VERSION, size::Size};
use crate::spool::SpoolFile;

/// The encoder's level. It reads well as text.
const LEVEL: i32 = 3;

/// The members of a layer, as lines in a file without a name: an image can have more of them than are good for memory.
#[derive(Debug)]
pub struct Rows {
    lines: BufWriter<SpoolFile>,
    size: Size,
}

impl Rows {
    /// Into an empty file.
    pub fn new(file: SpoolFile) -> Self {
        Self {
            lines: BufWriter::new(file),
            size: Size::default(),
        }
    }

    /// Fails when an index would have too much by this layer alone.
    pub fn add(&mut self, entry: &Entry) -> Result<(), FrameIndexError> {
        let line = line(entry)?;
        self.size.add(entry, line.len())?;
        Ok(self.lines.write_all(&line)?)
    }

    /// Hands on all of them, as they were added.
    fn each(
        &mut self,
        mut take: impl FnMut(u64, Entry) -> Result<(), FrameIndexError>,
    ) -> Result<(), FrameIndexError> {
        self.lines.flush()?;
        let mut file = self.lines.get_ref().file();
        file.rewind()?;
        for (place, line) in (0..).zip(BufReader::new(file).split(b'\n')) {
            let entry = serde_json::from_slice(&line?).map_err(io::Error::from)?;
            take(place, entry)?;
        }
        Ok(())
    }
}

/// The line of an entry, with its end.
fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

/// Where paths come last in a layer, and whether they are folders there.
#[derive(Default)]
struct Last(HashMap<Vec<u8>, (u64, bool)>);

impl Last {
    fn add(&mut self, place: u64, entry: &Entry) {
        if !entry.hides_only() {
            let is_folder = entry.r#type == Type::Folder;
            self.0.insert(entry.path.0.clone(), (place, is_folder));
        }
    }

    /// Whether a later member takes the place of this one, or of a folder that it is in.
    fn replaces(&self, place: u64, entry: &Entry) -> bool {
        let is_later = |path: &[u8]| self.0.get(path).filter(|(last, _)| *last > place);
        is_later(&entry.path.0).is_some()
            || above(&entry.path.0)
                .any(|folder| is_later(folder).is_some_and(|(_, is_folder)| !is_folder))
    }
}

/// The folders that something is in, but the root.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bytes = path.iter().enumerate();
    let ends = bytes.filter(|(_, byte)| **byte == b'/');
    ends.map(|(at, _)| &path[..at])
}

/// What upper layers hide of those below.
#[derive(Default)]
struct Hiding {
    /// Paths that are there, or must not be.
    paths: HashSet<Vec<u8>>,
    /// Folders of which nothing is left that was in them.
    folders: HashSet<Vec<u8>>,
}

impl Hiding {
    fn hides(&self, path: &[u8]) -> bool {
        let is_there = |folder: &[u8]| self.folders.contains(folder);
        self.paths.contains(path) || is_there(b"") || above(path).any(is_there)
    }

    fn add(&mut self, entry: Entry) {
        let path = entry.path.0;
        match entry.r#type {
            Type::Folder => drop(self.paths.insert(path)),
            Type::Opaque => drop(self.folders.insert(path)),
            // What is no folder has nothing in it.
            _ => {
                self.paths.insert(path.clone());
                self.folders.insert(path);
            }
        }
    }
}

/// An index that is written.
pub struct Merge {
    layers: Vec<(LayerFrames, Rows)>,
}

impl Merge {
    /// Of these layers, the lowest first.
    pub fn new(layers: Vec<(LayerFrames, Rows)>) -> Self {
        Self { layers }
    }

    /// Writes the index, from the uppermost layer to the lowest. Fails rather than to write one that its reader would refuse.
    pub fn write(self, into: &SpoolFile) -> Result<(), FrameIndexError> {
        let (layers, rows): (Vec<_>, Vec<Rows>) = self.layers.into_iter().unzip();
        let head = Head {
            version: VERSION,
            frame_bytes: FRAME as u64,
            layers,
        };
        if let Some(fault) = head.fault() {
            return Err(FrameIndexError::Wrong(fault));
        }
        let mut lines = zstd::Encoder::new(into, LEVEL)?;
        serde_json::to_writer(&mut lines, &head).map_err(io::Error::from)?;
        lines.write_all(b"\n")?;
        let (mut hiding, mut size) = (Hiding::default(), Size::default());
        for (number, mut rows) in rows.into_iter().enumerate().rev() {
            let number = u32::try_from(number).map_err(io::Error::other)?;
            let mut last = Last::default();
            rows.each(|place, entry| {
                last.add(place, &entry);
                Ok(())
            })?;
            rows.each(|place, mut entry| {
                entry.layer = number;
                entry.hidden = entry.hides_only()
                    || last.replaces(place, &entry)
                    || hiding.hides(&entry.path.0);
                let line = line(&entry)?;
                size.add(&entry, line.len())?;
                entry.check(&head.layers)?;
                Ok(lines.write_all(&line)?)
            })?;
            drop(last);
            if number > 0 {
                rows.each(|_, entry| {
                    hiding.add(entry);
                    Ok(())
                })?;
            }
        }
        lines.finish()?;
        Ok(())
    }
}
