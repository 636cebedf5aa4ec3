use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use super::error::FileError;
use crate::clone_files::{CloneFileError, CloneFiles};

/// A path in the clone.
#[derive(Clone, Debug)]
pub(crate) struct ClonePath {
    /// Relative to the clone, as it is named: links are not followed in it.
    pub named: PathBuf,
    /// Relative to the clone, with links followed.
    pub real: PathBuf,
}

impl ClonePath {
    /// A path that is relative to the clone.
    pub fn new(files: &CloneFiles, named: &Path) -> Result<Self, FileError> {
        let real = files
            .resolve(named)
            .map_err(|error| FileError::new(named, error))?;
        Ok(Self {
            named: named.to_owned(),
            real,
        })
    }

    /// The name in a key; `.` for the clone itself.
    pub fn name(&self) -> String {
        if self.named.as_os_str().is_empty() {
            ".".to_owned()
        } else {
            readable(self.named.as_os_str())
        }
    }
}

/// `path` as seen from `folder`, relative to the clone like that; an error if it leads out. A path may also be an absolute
/// one in the clone, which is at `root`. Links are not looked at: `..` is the folder above in what is written, as with the
/// CLI.
pub(crate) fn in_clone(root: &Path, folder: &Path, path: &str) -> Result<PathBuf, CloneFileError> {
    let path = Path::new(path);
    let (folder, path) = match path.strip_prefix(root) {
        Ok(path) => (Path::new(""), path),
        Err(_) => (folder, path),
    };
    let mut named = PathBuf::new();
    for part in folder.components().chain(path.components()) {
        match part {
            Component::Normal(part) => named.push(part),
            Component::CurDir => {}
            Component::ParentDir if named.pop() => {}
            _ => return Err(CloneFileError::LeadsOut),
        }
    }
    Ok(named)
}

/// Where paths are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenFrom<'a> {
    /// The clone.
    pub root: &'a Path,
    /// Relative to it.
    pub folder: &'a Path,
}

impl SeenFrom<'_> {
    /// A path, relative to the clone.
    pub(super) fn path(&self, path: &str) -> Result<PathBuf, CloneFileError> {
        in_clone(self.root, self.folder, path)
    }
}

/// The folder that is worked in with a configuration whose file is in `folder`: the one that `.devcontainer` is in. Both are
/// relative to the clone.
pub(crate) fn workspace_folder(folder: &Path) -> &Path {
    let mut above = folder.ancestors();
    let found = above.find(|folder| folder.file_name() == Some(OsStr::new(".devcontainer")));
    found.map_or(folder, |found| found.parent().unwrap_or(Path::new("")))
}

/// A name as text. Different names have different texts.
pub(crate) fn readable(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_from_its_folder_and_stays_in_the_clone() {
        let seen = |path: &str| in_clone(Path::new("/node/app"), Path::new(".devcontainer"), path);
        for (path, expected) in [
            ("Dockerfile", ".devcontainer/Dockerfile"),
            ("./a/../b", ".devcontainer/b"),
            ("..", ""),
            ("../src", "src"),
            ("/node/app/src", "src"),
            ("/node/app", ""),
        ] {
            assert_eq!(seen(path).unwrap(), Path::new(expected), "{path}");
        }
        for path in ["../..", "/etc/passwd", "/node/app/..", "/node/apple"] {
            assert!(seen(path).is_err(), "{path}");
        }
    }
}
