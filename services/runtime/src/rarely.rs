use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines of one kind that the log takes in a minute.
const LINES: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);

/// Keeps short what strangers can make the log say. Metrics count all of it.
#[derive(Debug, Default)]
pub struct Rarely(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Rarely {
    /// Whether a line is to be written now; if so, how many were left out before it.
    pub fn left_out(&self) -> Option<u64> {
        let said = &mut *self.0.lock();
        if said.since.is_none_or(|since| since.elapsed() >= MINUTE) {
            (said.since, said.lines) = (Some(Instant::now()), 0);
        }
        if said.lines == LINES {
            said.left_out += 1;
            return None;
        }
        said.lines += 1;
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_hundred_lines_a_minute_and_the_next_one_counts_the_rest() {
        let rarely = Rarely::default();
        let said = (0..1000).filter_map(|_| rarely.left_out()).count();
        assert_eq!(said, 100);
        tokio::time::advance(MINUTE).await;
        assert_eq!(rarely.left_out(), Some(900));
        assert_eq!(rarely.left_out(), Some(0));
    }
}
