//! The commit that a clone is at.

use std::path::Path;

use hearth_domain::CommitHash;

use super::error::KeyError;
use crate::clone_files::CloneFiles;

/// Largest file of git's that is read, in bytes. A list of 500,000 references has 40 MB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Reads the commit out of the clone's `.git` folder: from HEAD, the reference that HEAD names, or the packed
/// references.
pub(super) fn commit(files: &CloneFiles) -> Result<CommitHash, KeyError> {
    let read = |name: &str| {
        let content = files.read(&Path::new(".git").join(name), MAX_BYTES);
        String::from_utf8_lossy(&content.unwrap_or_default()).into_owned()
    };
    let head = read("HEAD");
    let head = head.trim();
    let commit = match head.strip_prefix("ref: ") {
        None => head.parse(),
        Some(name) => match read(name).trim() {
            "" => read("packed-refs")
                .lines()
                .find_map(|line| line.strip_suffix(name)?.strip_suffix(' '))
                .unwrap_or_default()
                .parse(),
            loose => loose.parse(),
        },
    };
    commit.map_err(|_| {
        KeyError::file(
            Path::new(".git/HEAD"),
            "the commit that is checked out cannot be read",
        )
    })
}
