//! The files of a container and of a clone, each with its mode, its owner and what is in it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hearth_domain::Digest;
use hearth_tests::Vm;

use crate::observe::Observed;

/// Folders that are the engine's.
const OF_THE_ENGINE: [&str; 4] = ["dev", "proc", "sys", "var/notes"];
/// A file of as many names is busybox.
const NAMES_OF_BUSYBOX: u64 = 50;
/// Texts up to this length are shown, and longer ones by their digests.
const SHOWN: u64 = 2000;

/// Unpacks the file system of a container, without its mounts.
pub fn export(vm: &Vm, container: &str, scratch: &Path) -> PathBuf {
    let root = scratch.join("root");
    fs::create_dir_all(&root).expect("a folder");
    let mut export = vm
        .command()
        .args(["export", container])
        .stdout(Stdio::piped())
        .spawn()
        .expect("docker");
    let archive = export.stdout.take().expect("a pipe");
    let unpacked = Command::new("tar")
        .args(["-x", "--numeric-owner", "--same-owner", "-p", "-C"])
        .arg(&root)
        .stdin(archive)
        .status()
        .expect("tar");
    assert!(unpacked.success() && export.wait().expect("docker").success());
    root
}

/// The id of a user.
pub fn uid(root: &Path, user: &str) -> u32 {
    let user = user.split(':').next().unwrap_or_default();
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    let known = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then(|| fields.nth(1)?.parse().ok())?
    });
    known.or_else(|| user.parse().ok()).unwrap_or_default()
}

/// Everything in the image and what was changed in the container.
pub fn of_image(root: &Path, seen: &mut Observed) {
    walk(root, Path::new(""), &mut |path, file| {
        if OF_THE_ENGINE.iter().any(|own| path.starts_with(own)) || file.nlink() > NAMES_OF_BUSYBOX
        {
            return;
        }
        let content = content(&root.join(path), file);
        let content = match path.to_string_lossy() {
            // When a hook ran is in its mark.
            mark if mark.ends_with("Marker") => "a mark".to_owned(),
            // The CLI writes the environment there, in any order.
            environment if environment == "etc/environment" => words(&content).join(" "),
            _ => content,
        };
        seen.insert(
            format!("file /{}", path.display()),
            format!("{:o} {}:{} {content}", mode(file), file.uid(), file.gid()),
        );
    });
}

/// Everything in the clone, and whose it is.
pub fn of_clone(clone: &Path, user: u32, seen: &mut Observed) {
    let mut owners = BTreeSet::new();
    walk(clone, Path::new(""), &mut |path, file| {
        owners.insert(if file.uid() == user {
            "the remote user".to_owned()
        } else {
            file.uid().to_string()
        });
        if !path.starts_with(".git") {
            let content = content(&clone.join(path), file);
            let name = String::from_utf8_lossy(path.as_os_str().as_bytes());
            seen.insert(
                format!("clone {name}"),
                format!("{:o} {content}", mode(file)),
            );
        }
    });
    let owners: Vec<_> = owners.into_iter().collect();
    seen.insert("owners in the clone".to_owned(), owners.join(", "));
}

fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<_> = text.split("\\n").collect();
    words.sort_unstable();
    words
}

fn mode(file: &fs::Metadata) -> u32 {
    file.mode() & 0o7777
}

fn content(path: &Path, file: &fs::Metadata) -> String {
    let kind = file.file_type();
    if kind.is_dir() {
        return "folder".to_owned();
    }
    if kind.is_symlink() {
        let target = fs::read_link(path).expect("a link");
        return format!("link to {}", target.display());
    }
    if !kind.is_file() {
        return "neither file nor folder".to_owned();
    }
    let bytes = fs::read(path).expect("a file");
    match std::str::from_utf8(&bytes) {
        Ok(text) if file.len() <= SHOWN => format!("{text:?}"),
        // Not the whole digest, which would be taken for an id.
        _ => format!("{} bytes, {:.23}", bytes.len(), Digest::of(&bytes).as_str()),
    }
}

fn walk(root: &Path, below: &Path, take: &mut dyn FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(root.join(below)).expect("a folder") {
        let path = below.join(entry.expect("an entry").file_name());
        let file = fs::symlink_metadata(root.join(&path)).expect("a file");
        take(&path, &file);
        if file.is_dir() {
            walk(root, &path, take);
        }
    }
}
