//! Mirrors of repositories: what a clone downloaded is kept on the node, so that the next clone of the repository downloads
//! only what is new.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use hearth_domain::sha256_hex;
use hearth_runtime::blocking;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::clone_files::{CloneFiles, EntryKind, FileWork, NewFolder};

/// Where a repository has what it downloaded.
const PACKS: &str = "objects/pack";
const REFS: &str = "packed-refs";
/// Says what the mirror is made of: it is not used when anything else is there.
const CONTENT: &str = "content.json";
/// A mirror of more files is made anew: git looks into every pack, and old ones are seldom needed.
const MAX_FILES: usize = 100;
/// The disk must have so many times the bytes of a mirror free.
const FREE: u64 = 4;

/// The node's mirrors, each a bare repository that only the agent writes. They share a number of bytes; the one that was
/// used least recently goes first.
#[derive(Clone, Debug)]
pub struct Mirrors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    max_bytes: u64,
    /// What was written before the machine started may be half on the disk.
    machine_start: String,
    locks: Mutex<HashMap<String, Arc<RwLock<()>>>>,
}

/// What a mirror is made of.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    machine_start: String,
    /// Sizes in bytes, by name.
    packs: BTreeMap<String, u64>,
}

impl Content {
    fn bytes(&self) -> u64 {
        self.packs.values().sum()
    }
}

/// A mirror that stays while this is held.
#[derive(Debug)]
pub struct Mirror {
    folder: PathBuf,
    _used: OwnedRwLockReadGuard<()>,
}

impl Mirror {
    /// A bare repository.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder with its packs.
    pub fn packs(&self) -> PathBuf {
        self.folder.join(PACKS)
    }
}

impl Mirrors {
    /// Mirrors in `folder`, of at most so many bytes together.
    pub fn new(folder: PathBuf, max_bytes: u64) -> Self {
        let machine_start = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self(Arc::new(Inner {
            folder,
            max_bytes,
            machine_start: machine_start.unwrap_or_default(),
            locks: Mutex::default(),
        }))
    }

    /// Keeps none.
    #[cfg(test)]
    pub fn none() -> Self {
        Self::new("/nonexistent".into(), 0)
    }

    /// The mirror of the repository with this URL, if the node has one.
    pub async fn of(&self, url: &str) -> Option<Mirror> {
        let (lock, folder) = self.place(url);
        let used = lock.try_read_owned().ok()?;
        let inner = self.0.clone();
        blocking(move || {
            inner.content(&folder)?;
            let file = fs::File::open(folder.join(CONTENT)).ok()?;
            // Only the order in which mirrors go depends on it.
            let _ = file.set_modified(SystemTime::now());
            Some(Mirror {
                folder,
                _used: used,
            })
        })
        .await
    }

    /// Keeps what the clone in `clone` downloaded. Nothing but git may have written there. Ends early, and keeps nothing,
    /// when another clone of the repository uses the mirror.
    ///
    /// # Errors
    ///
    /// A sentence; the node then has no mirror of it.
    pub async fn keep(&self, url: &str, clone: &Path) -> Result<(), String> {
        let (lock, folder) = self.place(url);
        let Ok(alone) = lock.try_write_owned() else {
            return Ok(());
        };
        // Ends the copy when nobody waits for it any more.
        let work = FileWork::default();
        let files = work
            .open(&clone.join(".git"))
            .map_err(|error| error.to_string())?;
        let inner = self.0.clone();
        blocking(move || {
            let kept = inner.keep(&alone, &folder, &files);
            if kept.is_err() {
                let _ = fs::remove_dir_all(&folder);
            }
            drop(alone);
            kept
        })
        .await?;
        self.shrink(self.0.max_bytes).await;
        Ok(())
    }

    /// Removes all mirrors that no clone uses.
    pub async fn remove_unused(&self) {
        self.shrink(0).await;
    }

    /// Removes mirrors, the one that was used least recently first, until the others have at most so many bytes.
    async fn shrink(&self, max_bytes: u64) {
        let mirrors = self.clone();
        blocking(move || {
            let mut all = mirrors.0.all();
            all.sort_by_key(|(_, used, _)| *used);
            let mut bytes: u64 = all.iter().map(|(_, _, bytes)| bytes).sum();
            for (name, _, of_it) in all {
                if bytes <= max_bytes {
                    break;
                }
                let Ok(_alone) = mirrors.0.lock(&name).try_write_owned() else {
                    continue;
                };
                match fs::remove_dir_all(mirrors.0.folder.join(&name)) {
                    Ok(()) => bytes -= of_it,
                    Err(error) => tracing::warn!(name, %error, "a mirror was not removed"),
                }
            }
        })
        .await;
    }

    fn place(&self, url: &str) -> (Arc<RwLock<()>>, PathBuf) {
        let name = sha256_hex(url);
        (self.0.lock(&name), self.0.folder.join(name))
    }
}

impl Inner {
    fn lock(&self, name: &str) -> Arc<RwLock<()>> {
        self.locks
            .lock()
            .entry(name.to_owned())
            .or_default()
            .clone()
    }

    /// Name, last use and bytes of each mirror.
    fn all(&self) -> Vec<(String, SystemTime, u64)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .map(|entry| {
                let used = entry.path().join(CONTENT).metadata();
                let used = used.and_then(|file| file.modified());
                let bytes = packs(&entry.path()).map_or(0, |packs| packs.values().sum());
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, used.unwrap_or(SystemTime::UNIX_EPOCH), bytes)
            })
            .collect()
    }

    /// What the mirror is made of, if it is whole.
    fn content(&self, folder: &Path) -> Option<Content> {
        let text = fs::read(folder.join(CONTENT)).ok()?;
        let content: Content = serde_json::from_slice(&text).ok()?;
        let is_whole = content.machine_start == self.machine_start
            && content.packs.len() <= MAX_FILES
            && packs(folder).ok()? == content.packs;
        is_whole.then_some(content)
    }

    fn keep(
        &self,
        _alone: &OwnedRwLockWriteGuard<()>,
        folder: &Path,
        clone: &CloneFiles,
    ) -> Result<(), String> {
        let mut content = self.content(folder).unwrap_or_default();
        let entries = clone
            .entries(Path::new(PACKS))
            .map_err(|error| error.to_string())?;
        let new: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| match entry.kind {
                EntryKind::File { bytes, .. } => Some((entry.name.into_string().ok()?, bytes)),
                EntryKind::Folder { .. } | EntryKind::Link { .. } => None,
            })
            .filter(|(name, _)| !content.packs.contains_key(name))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let is_new = content.packs.is_empty();
        content.packs.extend(new.iter().cloned());
        let bytes = content.bytes();
        fs::create_dir_all(&self.folder).map_err(|error| error.to_string())?;
        let disk = rustix::fs::statvfs(&self.folder).map_err(|error| error.to_string())?;
        if bytes > self.max_bytes || disk.f_bavail * disk.f_frsize / FREE < bytes {
            return match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            };
        }
        if is_new {
            // What is there is not whole.
            let _ = fs::remove_dir_all(folder);
        }
        let mut mirror = NewFolder::create(folder)?;
        for (name, _) in &new {
            let pack = Path::new(PACKS).join(name);
            mirror.copy_file(clone, &pack, &pack)?;
        }
        // Names of what the server need not send.
        if clone.has_file(Path::new(REFS)) {
            mirror.copy_file(clone, Path::new(REFS), Path::new(REFS))?;
        }
        mirror.write(Path::new("HEAD"), b"ref: refs/heads/main\n")?;
        mirror.write(
            Path::new("config"),
            b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
        )?;
        // Git takes a folder without it for no repository.
        fs::create_dir_all(folder.join("refs")).map_err(|error| error.to_string())?;
        content.machine_start.clone_from(&self.machine_start);
        let content = serde_json::to_vec(&content).map_err(|error| error.to_string())?;
        mirror.write(Path::new(CONTENT), &content)
    }
}

/// Names and sizes of the packs in a mirror.
fn packs(folder: &Path) -> io::Result<BTreeMap<String, u64>> {
    fs::read_dir(folder.join(PACKS))?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, entry.metadata()?.len()))
        })
        .collect()
}

#[cfg(test)]
#[path = "mirrors_tests.rs"]
mod tests;
