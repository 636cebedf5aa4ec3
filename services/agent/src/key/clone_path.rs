//! Paths that a configuration names, none of which may lead out of the clone.

use std::path::{Component, Path, PathBuf};

use super::{error::KeyError, tree::readable};
use crate::clone_files::CloneFiles;

/// A path in the clone.
#[derive(Clone, Debug)]
pub(super) struct ClonePath {
    /// Relative to the clone, `.` for the clone itself; links are not followed in it.
    pub name: String,
    /// Relative to the clone, with links followed.
    pub real: PathBuf,
}

impl ClonePath {
    /// `path` as seen from `folder`, which is relative to the clone.
    pub fn new(files: &CloneFiles, folder: &Path, path: &str) -> Result<Self, KeyError> {
        let mut name = PathBuf::new();
        for part in folder.components().chain(Path::new(path).components()) {
            match part {
                Component::Normal(part) => name.push(part),
                Component::CurDir => {}
                Component::ParentDir if name.pop() => {}
                _ => return Err(KeyError::LeadsOut(PathBuf::from(path))),
            }
        }
        let real = files
            .resolve(&name)
            .map_err(|error| KeyError::reading(&name, error))?;
        let name = if name.as_os_str().is_empty() {
            ".".to_owned()
        } else {
            readable(name.as_os_str())
        };
        Ok(Self { name, real })
    }
}
