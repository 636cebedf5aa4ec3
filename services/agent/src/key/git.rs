//! The commit that a clone is at.

use std::path::{Path, PathBuf};

use super::error::KeyError;

/// Reads the commit out of a `.git` folder: HEAD, the reference that it names, or the packed references.
pub(super) fn commit(git: &Path) -> Result<String, KeyError> {
    let why = || KeyError::File {
        path: PathBuf::from(".git/HEAD"),
        why: "the commit that is checked out cannot be read".to_owned(),
    };
    let read = |name: &str| std::fs::read_to_string(git.join(name)).unwrap_or_default();
    let head = read("HEAD");
    let head = head.trim();
    let commit = match head.strip_prefix("ref: ") {
        None => head.to_owned(),
        // A reference's name is a path; git allows no `..` in it, but this file may be anybody's.
        Some(name) if !name.starts_with("refs/") || name.contains("..") => return Err(why()),
        Some(name) => {
            let loose = read(name);
            let packed = read("packed-refs");
            let packed = packed
                .lines()
                .find_map(|line| line.strip_suffix(name)?.strip_suffix(' '));
            if loose.is_empty() {
                packed.unwrap_or_default().to_owned()
            } else {
                loose.trim().to_owned()
            }
        }
    };
    let valid = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    if valid { Ok(commit) } else { Err(why()) }
}
