//! The configurations that a clone has.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use hearth_domain::ConfigName;

use crate::clone_files::{CloneFiles, Entry, EntryKind};

/// At most this many names are told in a message.
pub(super) const MAX_NAMES: usize = 20;
/// Bounds of the search for configurations of a repository's folders. Real ones are two or three folders deep.
const MAX_DEPTH: usize = 6;
const MAX_FOLDERS: usize = 5_000;
const MAX_FOUND: usize = 200;
const FOLDER: &str = ".devcontainer";
/// Folders of dependencies: what is in them is not the repository's own.
const OTHERS: [&str; 3] = ["node_modules", "vendor", ".git"];

/// The configurations that a folder of the clone has by their names.
pub(super) fn named_in(files: &CloneFiles, folder: &Path) -> Vec<ConfigName> {
    let configurations = folder.join(FOLDER);
    let entries = files.entries(&configurations).unwrap_or_default();
    entries
        .into_iter()
        .filter(|entry| !matches!(entry.kind, EntryKind::File { .. }))
        .filter_map(|entry| {
            of_file(
                files,
                &configurations.join(entry.name).join("devcontainer.json"),
            )
        })
        .flatten()
        .collect()
}

/// All configurations that can be asked for, those of the repository's own folder first.
pub(super) fn all_in(files: &CloneFiles) -> Vec<ConfigName> {
    let mut found = named_in(files, Path::new(""));
    let mut folders = VecDeque::from([PathBuf::new()]);
    let mut looked_at = 0;
    while let Some(folder) = folders.pop_front() {
        looked_at += 1;
        if looked_at > MAX_FOLDERS || found.len() >= MAX_FOUND {
            break;
        }
        if !folder.as_os_str().is_empty() {
            let default = [".devcontainer/devcontainer.json", ".devcontainer.json"];
            let default = default
                .iter()
                .find_map(|file| of_file(files, &folder.join(file)));
            found.extend(default.flatten());
            found.extend(named_in(files, &folder));
        }
        if folder.components().count() < MAX_DEPTH {
            let entries = files.entries(&folder).unwrap_or_default();
            folders.extend(below(&folder, entries));
        }
    }
    found.truncate(MAX_FOUND);
    found
}

/// The folders to look into. Links are not followed: they would lead to the same configurations again.
fn below(folder: &Path, entries: Vec<Entry>) -> impl Iterator<Item = PathBuf> {
    let folders = entries.into_iter().filter(|entry| {
        let name = entry.name.to_string_lossy();
        let is_folder = matches!(entry.kind, EntryKind::Folder { .. });
        is_folder && !name.starts_with('.') && !OTHERS.contains(&&*name)
    });
    folders.map(|entry| folder.join(entry.name))
}

/// The configuration in a file, if it is there; `None` in it: the default one.
fn of_file(files: &CloneFiles, path: &Path) -> Option<Option<ConfigName>> {
    let config = ConfigName::of_file(path.to_str()?)?;
    files.has_file(path).then_some(config)
}
