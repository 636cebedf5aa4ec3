use std::{io, path::Path, time::Duration};

/// Space on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Size of the disk, in bytes.
    pub total: u64,
    /// Free bytes.
    pub free: u64,
}

impl Space {
    /// Space on the disk that `folder` is on. What is reserved for root counts as neither free nor there.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(folder)?;
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self {
            total: bytes(used.saturating_add(stat.f_bavail)),
            free: bytes(stat.f_bavail),
        })
    }
}

/// When too little disk is free, and how much is freed then.
#[derive(Clone, Copy, Debug)]
pub struct Watermarks {
    /// Percent of free disk below which images are removed; 0: never.
    pub free_percent: u8,
    /// Percent of the disk that is freed beyond `free_percent`.
    pub headroom_percent: u8,
    /// BuildKit's cache of this last while is kept.
    pub keep_build_cache: Duration,
}

/// Free bytes below which images are removed, and free bytes at which that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    pub(super) low: u64,
    pub(super) enough: u64,
}

impl Watermarks {
    /// `None` when nothing is ever removed. At least `needed` bytes are wanted, also above the watermarks.
    pub(super) fn goal(self, space: Space, needed: u64) -> Option<Goal> {
        if self.free_percent == 0 {
            return None;
        }
        let bytes = |percent: u8| space.total / 100 * u64::from(percent.min(100));
        let low = bytes(self.free_percent).max(needed);
        let enough = bytes(self.free_percent.saturating_add(self.headroom_percent)).max(low);
        Some(Goal { low, enough })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watermarks(free_percent: u8, headroom_percent: u8) -> Watermarks {
        Watermarks {
            free_percent,
            headroom_percent,
            keep_build_cache: Duration::ZERO,
        }
    }

    #[test]
    fn the_goal_is_a_part_of_the_disk_and_never_less_than_what_is_needed() {
        let space = Space {
            total: 1000,
            free: 0,
        };
        let goal = |watermarks: Watermarks, needed| {
            let goal = watermarks.goal(space, needed);
            goal.map(|goal| (goal.low, goal.enough))
        };
        assert_eq!(goal(watermarks(15, 5), 0), Some((150, 200)));
        assert_eq!(goal(watermarks(15, 5), 170), Some((170, 200)));
        assert_eq!(goal(watermarks(15, 5), 300), Some((300, 300)));
        assert_eq!(goal(watermarks(100, 100), 0), Some((1000, 1000)));
        assert_eq!(goal(watermarks(0, 5), 300), None);
    }

    #[test]
    fn a_disk_has_more_than_what_is_free_on_it() {
        let space = Space::of(Path::new("/")).unwrap();
        assert!(0 < space.total && space.free <= space.total, "{space:?}");
        assert!(Space::of(Path::new("/no/such/folder")).is_err());
    }
}
