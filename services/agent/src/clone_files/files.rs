use std::{
    ffi::OsString,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{
        Dir, File, FileType, FileTypeExt as _, Metadata, MetadataExt as _, OpenOptions,
        OpenOptionsExt as _,
    },
};
use hearth_domain::text::without_mark;
use rustix::fs::OFlags;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use super::error::CloneFileError;

/// Deepest folder that is opened. Git stores no path of more than 4096 bytes; an `initializeCommand` can make folders that
/// are deeper than any stack.
pub(super) const MAX_DEPTH: usize = 256;
/// Most entries of one folder that are listed, which takes about 100 MB of memory.
const MAX_LISTED: usize = 500_000;
/// Most entries that are copied or handed over.
pub(super) const MAX_ENTRIES: usize = 4_000_000;

/// A clone's files. All paths are relative to its root; the empty path is the root.
#[derive(Clone, Debug)]
pub struct CloneFiles {
    root: Arc<Dir>,
    stop: CancellationToken,
    _running: Option<TaskTrackerToken>,
}

/// What is in a folder, under one name.
#[derive(Debug)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// What git can store. Modes are the permission, set-id and sticky bits.
#[derive(Debug)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its mode.
        mode: u32,
        /// Its size.
        bytes: u64,
    },
    /// A folder.
    Folder {
        /// Its mode.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// What it names, wherever that leads.
        target: PathBuf,
    },
}

/// A regular file, as large as it was when it was opened.
#[derive(Debug)]
pub struct OpenFile {
    /// Its content.
    pub content: io::Take<File>,
    /// Its mode.
    pub mode: u32,
    stop: CancellationToken,
}

impl Read for OpenFile {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other(CloneFileError::Stopped));
        }
        self.content.read(piece)
    }
}

impl CloneFiles {
    /// The files below `root`.
    pub fn open(root: &Path) -> io::Result<Self> {
        Self::open_with(root, CancellationToken::new(), None)
    }

    pub(super) fn open_with(
        root: &Path,
        stop: CancellationToken,
        running: Option<TaskTrackerToken>,
    ) -> io::Result<Self> {
        Ok(Self {
            root: Arc::new(Dir::open_ambient_dir(root, ambient_authority())?),
            stop,
            _running: running,
        })
    }

    /// Whether something other than a folder is there. Also true where the path leads out of the clone, and of what is no
    /// regular file: reading it is an error that should be seen.
    pub fn has_file(&self, path: &Path) -> bool {
        match self.root.metadata(or_root(path)) {
            Ok(metadata) => !metadata.is_dir(),
            Err(error) => matches!(error.into(), CloneFileError::LeadsOut),
        }
    }

    /// Whether anything has this name, be it a link to nothing.
    pub fn is_there(&self, path: &Path) -> bool {
        self.root.symlink_metadata(or_root(path)).is_ok()
    }

    /// Whether it is a link.
    pub fn is_link(&self, path: &Path) -> bool {
        let metadata = self.root.symlink_metadata(or_root(path));
        metadata.is_ok_and(|metadata| metadata.is_symlink())
    }

    /// Why a link cannot be followed; `None` of anything else.
    pub fn link_fault(&self, path: &Path) -> Option<&'static str> {
        if !self.is_link(path) {
            return None;
        }
        match self.root.metadata(or_root(path)).map_err(Into::into) {
            Ok(_) => None,
            Err(CloneFileError::LeadsOut) => Some("is a link that leads out of the repository"),
            Err(_) => Some("is a link that leads nowhere"),
        }
    }

    /// The path without links in it.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, CloneFileError> {
        let path = self.root.canonicalize(or_root(path))?;
        Ok(if path == Path::new(".") {
            PathBuf::new()
        } else {
            path
        })
    }

    /// Opens a regular file. Its kind is looked at when it is open, so that nothing can take its place in between; opening
    /// a pipe does not wait for a writer.
    pub fn open_file(&self, path: &Path) -> Result<OpenFile, CloneFileError> {
        self.go_on()?;
        let mut options = OpenOptions::new();
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        options.read(true).custom_flags(flags.bits().cast_signed());
        let file = match self.root.open_with(or_root(path), &options) {
            Err(error) if is(&error, rustix::io::Errno::NXIO) => {
                return Err(CloneFileError::NotAFile("a socket"));
            }
            file => file?,
        };
        let metadata = file.metadata()?;
        if let Some(kind) = other_kind(metadata.file_type()) {
            return Err(CloneFileError::NotAFile(kind));
        }
        Ok(OpenFile {
            content: file.take(metadata.len()),
            mode: mode(&metadata),
            stop: self.stop.clone(),
        })
    }

    /// Reads a file of at most `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, CloneFileError> {
        let mut file = self.open_file(path)?;
        let bytes = file.content.limit();
        if bytes > limit {
            return Err(CloneFileError::TooLarge { bytes, limit });
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(content)
    }

    /// Reads a text of at most `limit` bytes that people wrote: without a byte order mark, and with what is no UTF-8
    /// replaced.
    pub fn text(&self, path: &Path, limit: u64) -> Result<String, CloneFileError> {
        let content = self.read(path, limit)?;
        if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
            return Err(CloneFileError::Utf16);
        }
        Ok(without_mark(&String::from_utf8_lossy(&content)).to_owned())
    }

    /// Mode of a folder.
    pub fn folder_mode(&self, path: &Path) -> Result<u32, CloneFileError> {
        Ok(mode(&self.root.metadata(or_root(path))?))
    }

    /// What is in a folder, in the order of the names. Pipes, sockets and devices are left out: git stores none, and
    /// BuildKit's client does not send sockets.
    pub fn entries(&self, path: &Path) -> Result<Vec<Entry>, CloneFileError> {
        let folder = self.open_folder(path)?;
        let mut entries = Vec::new();
        for entry in folder.entries()? {
            self.go_on()?;
            let entry = entry?;
            let (name, metadata) = (entry.file_name(), entry.metadata()?);
            let kind = if metadata.is_symlink() {
                EntryKind::Link {
                    target: folder.read_link_contents(&name)?,
                }
            } else if metadata.is_dir() {
                EntryKind::Folder {
                    mode: mode(&metadata),
                }
            } else if metadata.is_file() {
                EntryKind::File {
                    mode: mode(&metadata),
                    bytes: metadata.len(),
                }
            } else {
                continue;
            };
            entries.push(Entry { name, kind });
            check_count(entries.len(), MAX_LISTED)?;
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Opens a folder that is not too deep.
    pub(super) fn open_folder(&self, path: &Path) -> Result<Dir, CloneFileError> {
        if path.components().count() > MAX_DEPTH {
            let what = format!("folders in more than {MAX_DEPTH} folders");
            return Err(CloneFileError::TooMuch(what));
        }
        Ok(self.root.open_dir(or_root(path))?)
    }

    /// An error if the work is not needed any more.
    pub(super) fn go_on(&self) -> Result<(), CloneFileError> {
        if self.stop.is_cancelled() {
            return Err(CloneFileError::Stopped);
        }
        Ok(())
    }
}

/// An error if there are more entries than are looked at.
pub(super) fn check_count(entries: usize, limit: usize) -> Result<(), CloneFileError> {
    if entries > limit {
        let what = format!("more than {limit} files");
        return Err(CloneFileError::TooMuch(what));
    }
    Ok(())
}

fn other_kind(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

fn is(error: &io::Error, number: rustix::io::Errno) -> bool {
    error.raw_os_error() == Some(number.raw_os_error())
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

/// The kernel knows no empty path.
pub(super) fn or_root(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
