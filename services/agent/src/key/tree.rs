//! Files and folders as a key counts them: `file <mode> <sha256>`, `folder <mode>`, `link <target>`.
//!
//! That is what BuildKit's checksum of a file covers (`cache/contenthash` of moby/buildkit): type, the mode's permission,
//! set-id and sticky bits, the target of a link, the content. Owners are set to root and times are dropped before. It also
//! covers extended attributes, which git does not store.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use hearth_domain::sha256_hex;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::error::KeyError;
use crate::{
    clone_files::{CloneFileError, CloneFiles, EntryKind},
    devcontainer::{ClonePath, readable},
};

/// Files are read in pieces of this size, in bytes.
const PIECE: usize = 256 * 1024;

/// The most that one key may be made of.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Files, folders and links.
    pub entries: usize,
    /// Content of files, in bytes. Reading it takes about a second for each GB.
    pub bytes: u64,
    /// Folders in each other. Walks are recursive.
    pub depth: usize,
    /// Nobody waits for the key any more: what reads for it ends.
    pub stop: CancellationToken,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 200_000,
            bytes: 8 << 30,
            depth: 100,
            stop: CancellationToken::new(),
        }
    }
}

impl Limits {
    /// Ends work that nobody waits for.
    pub fn check_stop(&self) -> Result<(), KeyError> {
        within(!self.stop.is_cancelled(), || "there is time for".to_owned())
    }

    pub fn check_depth(&self, folder: &Path) -> Result<(), KeyError> {
        let limit = || format!("{} folders in each other", self.depth);
        within(folder.components().count() <= self.depth, limit)
    }

    pub fn check_entries(&self, entries: usize) -> Result<(), KeyError> {
        let limit = || format!("{} files", self.entries);
        within(entries <= self.entries, limit)
    }

    fn check_bytes(&self, bytes: u64) -> Result<(), KeyError> {
        let limit = || format!("{} bytes", self.bytes);
        within(bytes <= self.bytes, limit)
    }
}

fn within(is_within: bool, limit: impl FnOnce() -> String) -> Result<(), KeyError> {
    if is_within {
        Ok(())
    } else {
        Err(KeyError::TooMuch { limit: limit() })
    }
}

/// An entry that was found in a walk.
#[derive(Debug)]
pub(super) struct Found {
    /// Name in the key.
    pub name: String,
    pub value: Value,
}

/// What an entry has in the key.
#[derive(Debug)]
pub(super) enum Value {
    Known(String),
    /// A file that is not read yet.
    File {
        /// Relative to the clone.
        path: PathBuf,
        mode: u32,
        bytes: u64,
    },
}

impl Value {
    /// The value of what is at `path`, which is relative to the clone.
    pub fn of(path: PathBuf, kind: EntryKind) -> Self {
        match kind {
            EntryKind::File { mode, bytes } => Self::File { path, mode, bytes },
            EntryKind::Folder { mode } => Self::Known(format!("folder {mode:o}")),
            EntryKind::Link { target } => {
                Self::Known(format!("link {}", readable(target.as_os_str())))
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Known(_) => 0,
            Self::File { bytes, .. } => *bytes,
        }
    }
}

/// Everything below `folder`, and the folder itself, by the names that the folder's own name leads to.
pub(super) fn walk(
    files: &CloneFiles,
    folder: &ClonePath,
    limits: &Limits,
) -> Result<Vec<Found>, KeyError> {
    let ClonePath {
        named,
        real: folder,
    } = folder;
    let mode = files
        .folder_mode(folder)
        .map_err(|error| KeyError::reading(folder, error))?;
    let mut found = vec![Found {
        name: readable(named.as_os_str()),
        value: Value::of(folder.clone(), EntryKind::Folder { mode }),
    }];
    let mut folders = vec![PathBuf::new()];
    while let Some(name) = folders.pop() {
        let path = folder.join(&name);
        limits.check_stop()?;
        limits.check_depth(&path)?;
        let entries = files
            .entries(&path)
            .map_err(|error| KeyError::reading(&path, error))?;
        for entry in entries {
            let name = name.join(&entry.name);
            let is_folder = matches!(entry.kind, EntryKind::Folder { .. });
            found.push(Found {
                name: readable(named.join(&name).as_os_str()),
                value: Value::of(folder.join(&name), entry.kind),
            });
            if is_folder {
                folders.push(name);
            }
        }
        limits.check_entries(found.len())?;
    }
    Ok(found)
}

/// Reads the files and gives every entry its value, by name.
pub(super) fn values(
    files: &CloneFiles,
    found: Vec<Found>,
    limits: &Limits,
) -> Result<BTreeMap<String, String>, KeyError> {
    limits.check_entries(found.len())?;
    limits.check_bytes(found.iter().map(|entry| entry.value.bytes()).sum())?;
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(String, String)>, KeyError> {
        let (mut done, mut piece) = (Vec::new(), vec![0; PIECE]);
        while let Some(entry) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
            let value = match &entry.value {
                Value::Known(value) => value.clone(),
                Value::File { path, mode, .. } => {
                    limits.check_stop()?;
                    let hash = hash(files, path, &mut piece)
                        .map_err(|error| KeyError::reading(path, error))?;
                    format!("file {mode:o} {hash}")
                }
            };
            done.push((entry.name.clone(), value));
        }
        Ok(done)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            match worker.join() {
                Ok(done) => all.extend(done?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

/// One digest for many entries.
pub(super) fn digest(values: &BTreeMap<String, String>) -> String {
    // JSON keeps names and values apart whatever characters they have.
    sha256_hex(serde_json::to_string(values).unwrap_or_default())
}

fn hash(files: &CloneFiles, path: &Path, piece: &mut [u8]) -> Result<String, CloneFileError> {
    let mut file = files.open_file(path)?;
    let mut hasher = Sha256::new();
    loop {
        let count = file.read(piece)?;
        if count == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&piece[..count]);
    }
}
