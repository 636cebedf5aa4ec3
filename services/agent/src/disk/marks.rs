use std::{io, path::Path, time::Duration};

/// The size of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// In bytes, without what is reserved for root.
    pub total: u64,
    /// Free bytes, without what is reserved for root.
    pub free: u64,
}

impl Space {
    /// The disk that `folder` is on, without the part that is reserved for root.
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

/// When disk is freed, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// Percent of free disk below which some is freed; 0: never.
    pub free_percent: u8,
    /// Percent of the disk that is freed in addition.
    pub headroom_percent: u8,
    /// BuildKit's cache is kept for so long after its last use.
    pub keep_build_cache: Duration,
}

/// Free bytes below which disk is freed, and at which that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    pub(super) low: u64,
    pub(super) enough: u64,
}

impl Marks {
    /// `None` when disk is never freed. The goal is at least `needed` bytes, whatever the marks say.
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

    fn marks(free_percent: u8, headroom_percent: u8) -> Marks {
        Marks {
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
        let goal = |marks: Marks, needed| {
            let goal = marks.goal(space, needed);
            goal.map(|goal| (goal.low, goal.enough))
        };
        assert_eq!(goal(marks(15, 5), 0), Some((150, 200)));
        assert_eq!(goal(marks(15, 5), 170), Some((170, 200)));
        assert_eq!(goal(marks(15, 5), 300), Some((300, 300)));
        assert_eq!(goal(marks(100, 100), 0), Some((1000, 1000)));
        assert_eq!(goal(marks(0, 5), 300), None);
    }

    #[test]
    fn a_disk_has_more_than_what_is_free_on_it() {
        let space = Space::of(Path::new("/")).unwrap();
        assert!(0 < space.total && space.free <= space.total, "{space:?}");
        assert!(Space::of(Path::new("/no/such/folder")).is_err());
    }
}
