//! What a failure was really about: a disk that is full and an engine that is gone look like a build that failed.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hearth_api::v1::{Failure, FailureReason};

use super::context::Context;
use crate::disk::Space;

/// Time between two looks at the disks while an attempt works. What fills a disk is removed soon after it failed.
const LOOK: Duration = Duration::from_millis(250);
/// Part of a disk, and bytes, below which it may have been full: the last bytes are seldom measured.
const ALMOST_FULL_PART: u64 = 100;
const ALMOST_FULL: u64 = 16 << 20;
/// Bytes below which it was full, whatever a command says: many say "I/O error".
const FULL: u64 = 2 << 20;
/// Commands and engines say so in these words, which come from the C library and Go.
const NO_SPACE: [&str; 3] = [
    "no space left on device",
    "disk quota exceeded",
    "database or disk is full",
];

/// Clients say so when the engine goes away.
const CUT: [&str; 6] = [
    "cannot connect to the docker daemon",
    "connection refused",
    "connection reset",
    "context canceled",
    "transport is closing",
    "eof",
];
/// How often the engine is asked then.
const CUT_LOOKS: u32 = 12;

/// How little was free on a disk while an attempt worked.
#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    least: AtomicU64,
}

/// The disks that an attempt fills.
#[derive(Debug)]
pub struct Disks([Disk; 2]);

impl Disks {
    /// The engine's and the attempt's own.
    pub fn new(engine: &Path, scratch: &Path) -> Self {
        Self([engine, scratch].map(|folder| Disk {
            folder: folder.to_owned(),
            least: AtomicU64::new(u64::MAX),
        }))
    }

    fn look(&self) {
        for disk in &self.0 {
            if let Ok(space) = Space::of(&disk.folder) {
                disk.least.fetch_min(space.free, Ordering::Relaxed);
            }
        }
    }

    /// Bytes and place of a disk that was full; `says_so`: a command or the engine said that one is.
    fn full(&self, says_so: bool) -> Option<String> {
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

/// Measures the disks for as long as it is polled, and has the node free some when there is too little.
pub async fn watch_disks(cx: &Context<'_>) {
    let needed = cx.node.min_free_disk_bytes;
    let mut was_low = false;
    loop {
        cx.disks.look();
        let is_low = cx.node.disk.free_bytes().is_ok_and(|free| free < needed);
        if is_low && !was_low {
            cx.node.disk.wake();
        }
        was_low = is_low;
        tokio::time::sleep(LOOK).await;
    }
}

/// The failure with its real reason.
pub async fn diagnosed(cx: &Context<'_>, failure: Failure) -> Failure {
    use FailureReason as Reason;
    let reason = failure.reason();
    // These have no other cause.
    if matches!(
        reason,
        Reason::Replaced | Reason::AgentRestarted | Reason::RefNotFound | Reason::ConfigNotFound
    ) {
        return failure;
    }
    let texts = [&failure.message, &failure.output_tail];
    let says_so = reason == Reason::DiskFull || texts.iter().any(|text| tells_no_space(text));
    if let Some(place) = cx.disks.full(says_so) {
        return Failure {
            reason: Reason::DiskFull.into(),
            message: format!("the node's disk is full, {place}: {}", failure.message),
            ..failure
        };
    }
    let may_be_engine = matches!(
        reason,
        Reason::BuildFailed | Reason::ContainerFailed | Reason::HookFailed | Reason::TimedOut
    );
    if may_be_engine && let Some(problem) = engine_problem(cx, &texts).await {
        return Failure {
            reason: Reason::EngineFailed.into(),
            message: format!("{problem}: {}", failure.message),
            ..failure
        };
    }
    failure
}

/// Why the engine cannot be used. One that is being stopped cuts its connections first, and answers for a moment longer.
async fn engine_problem(cx: &Context<'_>, texts: &[&String]) -> Option<String> {
    let is_cut = texts.iter().any(|text| contains_any(text, &CUT));
    let looks = if is_cut { CUT_LOOKS } else { 1 };
    for look in 0..looks {
        if look > 0 {
            tokio::time::sleep(LOOK).await;
        }
        let problem = cx.node.engine.check(cx.externals.engine.as_ref()).await;
        if problem.is_some() {
            return problem;
        }
    }
    None
}

fn contains_any(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|words| text.contains(words))
}

fn tells_no_space(text: &str) -> bool {
    contains_any(text, &NO_SPACE)
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

    #[test]
    fn engines_and_commands_say_that_there_is_no_space() {
        for text in [
            "write /var/lib/docker/x: no space left on device",
            "cp: error writing '/x': No space left on device",
            "Disk quota exceeded",
        ] {
            assert!(tells_no_space(text), "{text}");
        }
        assert!(!tells_no_space("space left: none of your business"));
    }
}
