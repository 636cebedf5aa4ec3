use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::disk::Space;

/// Part of a disk, and bytes, below which it may have been full: the last bytes are seldom measured.
const ALMOST_FULL_PART: u64 = 100;
const ALMOST_FULL: u64 = 16 << 20;
/// Bytes below which it was full, whatever a command says: many say "I/O error".
const FULL: u64 = 2 << 20;

/// How little was free on a disk while an attempt worked.
#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    least: AtomicU64,
}

/// The disks that an attempt fills.
#[derive(Debug)]
pub struct Disks([Disk; 2]);

impl Disk {
    fn look(&self) -> Option<u64> {
        let free = Space::of(&self.folder).ok()?.free;
        self.least.fetch_min(free, Ordering::Relaxed);
        Some(free)
    }
}

impl Disks {
    /// The engine's and the attempt's own.
    pub fn new(engine: &Path, scratch: &Path) -> Self {
        Self([engine, scratch].map(|folder| Disk {
            folder: folder.to_owned(),
            least: AtomicU64::new(u64::MAX),
        }))
    }

    /// Measures them. Returns what is free on the engine's.
    pub fn look(&self) -> Option<u64> {
        let [engine, scratch] = &self.0;
        scratch.look();
        engine.look()
    }

    /// Bytes and place of a disk that was full; `says_so`: a command or the engine said that one is.
    pub fn full(&self, says_so: bool) -> Option<String> {
        self.look();
        self.0.iter().find_map(|disk| {
            let total = Space::of(&disk.folder).ok()?.total;
            let least = disk.least.load(Ordering::Relaxed);
            let is_full =
                least <= FULL || (says_so && least <= (total / ALMOST_FULL_PART).max(ALMOST_FULL));
            is_full.then(|| {
                format!(
                    "{} MiB of {} MiB were free at {}",
                    least >> 20,
                    total >> 20,
                    disk.folder.display()
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_was_full_if_almost_nothing_was_free_at_some_time() {
        let dir = tempfile::tempdir().unwrap();
        let disks = Disks::new(dir.path(), dir.path());
        let least = |bytes| disks.0[0].least.store(bytes, Ordering::Relaxed);
        least(3 << 20);
        assert_eq!(disks.full(false), None);
        let place = disks.full(true).unwrap();
        assert!(place.starts_with("3 MiB of "), "{place}");
        assert!(
            place.ends_with(&dir.path().display().to_string()),
            "{place}"
        );
        least(1 << 20);
        assert!(disks.full(false).is_some(), "nothing need say so");
    }
}
