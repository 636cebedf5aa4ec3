//! How fast a thread works while others want all processors. Its priority does not say enough: it counts within a control
//! group, and workspaces have others.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// How often the processors are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Times that it rests for as long as it worked: then it takes a tenth of a processor. The engine, which reads for it, takes
/// nearly as much.
const REST: u32 = 9;
/// The longest rest.
const MAX_REST: Duration = Duration::from_millis(200);
/// `/proc/stat` counts in hundredths of a second (`proc_stat(5)`, `USER_HZ`).
const TICK: f64 = 0.01;

/// The pace of a thread.
pub struct Pace {
    looked: Instant,
    idle: u64,
    is_busy: bool,
    /// Processor time of the thread.
    worked: Duration,
}

impl Pace {
    pub fn new() -> Self {
        Self {
            looked: Instant::now(),
            idle: idle().unwrap_or_default(),
            // Until it is known better.
            is_busy: true,
            worked: worked(),
        }
    }

    /// Rests after a piece of work, if no processor is idle.
    pub fn rest(&mut self) {
        let (before, looked) = (self.worked, self.looked.elapsed());
        if looked >= LOOK
            && let Some(idle) = idle()
        {
            self.is_busy = is_busy(idle.saturating_sub(self.idle), looked);
            (self.looked, self.idle) = (Instant::now(), idle);
        }
        if self.is_busy {
            let since = worked().saturating_sub(before);
            thread::sleep((since * REST).min(MAX_REST));
        }
        self.worked = worked();
    }
}

/// What this thread had of the processors. The time that passed has what others had, too.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Whether no processor had much time left, by the ticks that all of them together were idle for.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn is_busy(idle: u64, over: Duration) -> bool {
    (idle as f64) * TICK < over.as_secs_f64() / 5.0
}

fn idle() -> Option<u64> {
    idle_in(&fs::read_to_string("/proc/stat").ok()?)
}

/// The ticks of all processors together in which they were idle, or waited for disks.
fn idle_in(stat: &str) -> Option<u64> {
    let all = stat.lines().next()?.strip_prefix("cpu ")?;
    let mut fields = all.split_whitespace().skip(3);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_busy_when_none_has_time_left() {
        let stat = "cpu  100 2 30 4000 500 0 7 0 0 0\ncpu0 50 1 15 2000 250 0 3 0 0 0\n";
        assert_eq!(idle_in(stat), Some(4500));
        assert_eq!(idle_in("cpu0 1 2 3 4 5\n"), None);
        let over = Duration::from_millis(100);
        // One of two has ten ticks in that time.
        assert!(is_busy(0, over) && is_busy(1, over));
        assert!(!is_busy(2, over) && !is_busy(20, over));
    }
}
