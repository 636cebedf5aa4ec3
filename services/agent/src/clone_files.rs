//! The files of a clone, which come from a repository that is not trusted.
//!
//! Every path is resolved beneath the clone's root, by the kernel where it can (`openat2` with `RESOLVE_BENEATH`, Linux
//! 5.6): a link inside the clone is followed, one that leads out of it is an error. Without that, a repository could have
//! the agent read any file of the node.

use std::{
    ffi::OsString,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, Metadata, MetadataExt as _},
};
use hearth_domain::text::without_mark;

/// A clone's files. All paths are relative to its root; the empty path is the root.
#[derive(Clone, Debug)]
pub struct CloneFiles(Arc<Dir>);

/// A file of a clone cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CloneFileError {
    /// A link, or `..`, leads out of the clone.
    #[error("leads out of the repository")]
    LeadsOut,
    /// It is larger than the caller takes.
    #[error("has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A text in an encoding that nothing here reads.
    #[error("is UTF-16; save it as UTF-8")]
    Utf16,
    /// Anything else, for example that it does not exist.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for CloneFileError {
    fn from(error: io::Error) -> Self {
        // cap-std makes this error itself. One that comes from the kernel has a number.
        let is_made = error.raw_os_error().is_none();
        if is_made && error.kind() == io::ErrorKind::PermissionDenied {
            Self::LeadsOut
        } else {
            Self::Io(error)
        }
    }
}

impl CloneFileError {
    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
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

impl CloneFiles {
    /// The files below `root`.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(root, ambient_authority())?;
        Ok(Self(Arc::new(root)))
    }

    /// Whether there is a regular file. Also true where the path leads out of the clone: reading it is an error that
    /// should be seen.
    pub fn has_file(&self, path: &Path) -> bool {
        match self.0.metadata(path) {
            Ok(metadata) => metadata.is_file(),
            Err(error) => matches!(error.into(), CloneFileError::LeadsOut),
        }
    }

    /// Whether it is a link to something that is not there.
    pub fn is_dead_link(&self, path: &Path) -> bool {
        let is_link = self.0.symlink_metadata(or_root(path));
        is_link.is_ok_and(|metadata| metadata.is_symlink())
            && self
                .0
                .metadata(or_root(path))
                .is_err_and(|error| !matches!(error.into(), CloneFileError::LeadsOut))
    }

    /// The path without links in it.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, CloneFileError> {
        let path = self.0.canonicalize(or_root(path))?;
        Ok(if path == Path::new(".") {
            PathBuf::new()
        } else {
            path
        })
    }

    /// Opens a file.
    pub fn open_file(&self, path: &Path) -> Result<File, CloneFileError> {
        Ok(self.0.open(path)?)
    }

    /// Reads a file of at most `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, CloneFileError> {
        let file = self.open_file(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() > limit {
            let bytes = metadata.len();
            return Err(CloneFileError::TooLarge { bytes, limit });
        }
        let mut content = Vec::new();
        // A file that grows meanwhile is cut off.
        file.take(limit).read_to_end(&mut content)?;
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
        Ok(mode(&self.0.metadata(or_root(path))?))
    }

    /// What is in a folder, in the order of the names. Sockets and devices are left out: git stores none, and BuildKit's
    /// client does not send sockets.
    pub fn entries(&self, path: &Path) -> Result<Vec<Entry>, CloneFileError> {
        let folder = self.0.open_dir(or_root(path))?;
        let mut entries = Vec::new();
        for entry in folder.entries()? {
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
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

/// The kernel knows no empty path.
fn or_root(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// A clone beside a file that is not in it.
    fn clone() -> (tempfile::TempDir, CloneFiles) {
        let dir = tempfile::tempdir().unwrap();
        let clone = dir.path().join("clone");
        fs::create_dir_all(clone.join("sub")).unwrap();
        fs::write(clone.join("sub/file"), "inside").unwrap();
        fs::write(dir.path().join("secret"), "outside").unwrap();
        for (link, target) in [
            ("in", "sub/file"),
            ("sub/up", "../sub/file"),
            ("folder", "sub"),
            ("out", "../secret"),
            ("sub/out", ".."),
            ("absolute", "/etc/passwd"),
            ("loop", "loop"),
        ] {
            symlink(target, clone.join(link)).unwrap();
        }
        let files = CloneFiles::open(&clone).unwrap();
        (dir, files)
    }

    #[test]
    fn links_inside_the_clone_are_followed() {
        let (_dir, files) = clone();
        for path in ["sub/file", "in", "sub/up", "folder/file", "sub/../in"] {
            let path = Path::new(path);
            assert_eq!(files.read(path, 6).unwrap(), b"inside", "{path:?}");
            assert!(files.has_file(path));
            assert_eq!(files.resolve(path).unwrap(), Path::new("sub/file"));
        }
        assert_eq!(files.resolve(Path::new("")).unwrap(), Path::new(""));
        assert_eq!(files.resolve(Path::new("sub/out")).unwrap(), Path::new(""));
        assert_eq!(files.entries(Path::new("folder")).unwrap().len(), 3);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text() {
        let (dir, files) = clone();
        fs::write(dir.path().join("clone/marked"), b"\xef\xbb\xbfa\xff").unwrap();
        assert_eq!(files.text(Path::new("marked"), 5).unwrap(), "a\u{fffd}");
        assert_eq!(files.text(Path::new("in"), 6).unwrap(), "inside");
    }

    #[test]
    fn nothing_outside_of_the_clone_is_read() {
        let (_dir, files) = clone();
        for path in [
            "out",
            "../secret",
            "sub/out/../secret",
            "absolute",
            "/etc/passwd",
        ] {
            let path = Path::new(path);
            let error = files.read(path, 100).unwrap_err();
            assert_eq!(error.to_string(), "leads out of the repository", "{path:?}");
            assert!(files.has_file(path), "the error is seen when it is read");
            let error = files.resolve(path).unwrap_err();
            assert!(matches!(error, CloneFileError::LeadsOut), "{path:?}");
        }
        let error = files.entries(Path::new("sub/out/..")).unwrap_err();
        assert!(matches!(error, CloneFileError::LeadsOut), "{error}");
    }

    #[test]
    fn what_is_missing_too_large_or_no_file_is_told_apart() {
        let (_dir, files) = clone();
        let read = |path: &str| files.read(Path::new(path), 5).unwrap_err();
        assert!(read("none").is_not_found());
        assert_eq!(read("in").to_string(), "has 6 bytes; at most 5 are read");
        for path in ["none", "sub", "loop"] {
            assert!(!files.has_file(Path::new(path)), "{path}");
            assert!(matches!(read(path), CloneFileError::Io(_)), "{path}");
        }
    }
}
