//! Everything that can be seen of the files of a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use hearth_domain::Digest;

/// A line for each file, by its path. Folders for which no time is compared are in `untimed`.
pub fn list(root: &Path, untimed: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, String> {
    lines(root, |name, time| (!untimed.contains(name)).then_some(time))
}

/// The same, with what a function makes of each time.
pub fn list_timed(
    root: &Path,
    time: impl Fn((i64, i64)) -> Option<(i64, i64)>,
) -> BTreeMap<PathBuf, String> {
    lines(root, |_, is| time(is))
}

fn lines(
    root: &Path,
    time_of: impl Fn(&Path, (i64, i64)) -> Option<(i64, i64)>,
) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                folders.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let name = path.strip_prefix(root).unwrap().to_owned();
        let metadata = path.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let content = if kind.is_file() {
            Digest::of(std::fs::read(&path).unwrap()).to_string()
        } else if kind.is_symlink() {
            format!("{:?}", std::fs::read_link(&path).unwrap())
        } else {
            String::new()
        };
        let same_as = first_names
            .entry(metadata.ino())
            .or_insert_with(|| name.clone());
        // The device of a whiteout has the time at which it was made.
        let is_whiteout = kind.is_char_device() && metadata.rdev() == 0;
        let time = match is_whiteout {
            true => None,
            false => time_of(&name, (metadata.mtime(), metadata.mtime_nsec())),
        };
        let size = if kind.is_dir() { 0 } else { metadata.size() };
        let line = format!(
            "mode {:o}, owner {}:{}, size {size}, device {}, time {time:?}, same as {same_as:?}, attributes {:?}, {content}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.rdev(),
            attributes(&path),
        );
        files.insert(name, line);
    }
    files
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 64 * 1024];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 64 * 1024];
            let length =
                rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value[..])
                    .unwrap();
            (
                String::from_utf8_lossy(name).into_owned(),
                value[..length].to_vec(),
            )
        })
        .collect()
}
