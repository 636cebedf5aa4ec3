//! What a clone is at, and the names that its history has.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hearth_domain::{CommitHash, sha256_hex};

use super::{error::KeyError, tree::Limits};
use crate::{
    clone_files::{CloneFiles, EntryKind},
    devcontainer::readable,
};

/// Largest file of git's that is read, in bytes. A list of 500,000 references has 40 MB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What the clone's `.git` folder says of its history.
pub(super) struct State {
    pub commit: CommitHash,
    /// Digest of HEAD, of the tags, and of the other names of its commit: what `git describe` and the like tell. Names of
    /// other commits are left out: each push to any branch would be another key.
    pub names: String,
}

/// Reads it: from HEAD, the reference that HEAD names, and the others, of which some are in files of their own.
pub(super) fn state(files: &CloneFiles, limits: &Limits) -> Result<State, KeyError> {
    let head = text(files, Path::new(".git/HEAD"));
    let head = head.trim();
    let mut names = packed(&text(files, Path::new(".git/packed-refs")));
    loose(files, limits, &mut names)?;
    let commit = match head.strip_prefix("ref: ") {
        None => head.parse(),
        Some(name) => names.get(name).map_or("", String::as_str).parse(),
    };
    let commit: CommitHash = commit.map_err(|_| {
        KeyError::file(
            Path::new(".git/HEAD"),
            "the commit that is checked out cannot be read",
        )
    })?;
    names.retain(|name, value| name.starts_with("refs/tags/") || value == commit.as_str());
    let names = serde_json::json!([head, names]).to_string();
    Ok(State {
        commit,
        names: sha256_hex(names),
    })
}

fn text(files: &CloneFiles, path: &Path) -> String {
    let content = files.read(path, MAX_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&content).into_owned()
}

fn packed(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with(['#', '^']));
    let pairs = lines.filter_map(|line| line.split_once(' '));
    pairs
        .map(|(value, name)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Those in files of their own, which count more.
fn loose(
    files: &CloneFiles,
    limits: &Limits,
    names: &mut BTreeMap<String, String>,
) -> Result<(), KeyError> {
    let mut folders = vec![PathBuf::from("refs")];
    let mut found = 0;
    while let Some(name) = folders.pop() {
        let path = Path::new(".git").join(&name);
        limits.check_stop()?;
        limits.check_depth(&path)?;
        let entries = match files.entries(&path) {
            Err(error) if error.is_not_found() => Vec::new(),
            entries => entries.map_err(|error| KeyError::reading(&path, error))?,
        };
        for entry in entries {
            found += 1;
            limits.check_entries(found)?;
            let name = name.join(&entry.name);
            match entry.kind {
                EntryKind::Folder { .. } => folders.push(name),
                _ => {
                    let value = text(files, &path.join(&entry.name));
                    names.insert(readable(name.as_os_str()), value.trim().to_owned());
                }
            }
        }
    }
    Ok(())
}
