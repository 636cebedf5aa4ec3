//! The two clocks. The machine's tells the times that people see; it may jump, by years, and nothing is deleted or ends for
//! that. What is kept for a time is kept for so much [`RunTime`], and what ends within one run of the process (leases,
//! sessions of logins, nodes that are lost) ends by [`tokio::time::Instant`].

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use tokio::time::Instant;

/// Time that control planes have run on a database, over all starts: by the monotonic clock, so it neither jumps nor counts
/// what nobody could use meanwhile.
#[derive(Debug)]
pub(crate) struct RunTime {
    before: Duration,
    start: Instant,
}

impl RunTime {
    /// Goes on after so many milliseconds.
    pub(crate) fn after(millis: i64) -> Self {
        Self {
            before: Duration::from_millis(millis.try_into().unwrap_or(0)),
            start: Instant::now(),
        }
    }

    /// How long it is so far.
    pub(crate) fn so_far(&self) -> Duration {
        self.before.saturating_add(self.start.elapsed())
    }

    /// The same in milliseconds.
    pub(crate) fn millis(&self) -> i64 {
        whole_millis(self.so_far())
    }

    /// What it was so long ago; below 0 where it has not run so long.
    pub(crate) fn millis_ago(&self, time: Duration) -> i64 {
        self.millis() - whole_millis(time)
    }
}

/// So many days.
pub(crate) fn days_long(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

fn whole_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The current time, to be shown.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Milliseconds since 1970.
pub(crate) fn millis(time: &Timestamp) -> i64 {
    time.seconds
        .saturating_mul(1000)
        .saturating_add(i64::from(time.nanos) / 1_000_000)
}

/// The inverse of [`millis`].
pub(crate) fn from_millis(millis: i64) -> Timestamp {
    Timestamp {
        seconds: millis.div_euclid(1000),
        // Below 1000 million by construction.
        nanos: i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default(),
    }
}

/// Seconds from `start`, in milliseconds, to `end`; at least 0, since the clocks of two machines may differ.
pub(crate) fn seconds_between(start: i64, end: &Timestamp) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "durations of this size are exact in a double"
    )]
    let millis = millis(end).saturating_sub(start).max(0) as f64;
    millis / 1000.0
}
