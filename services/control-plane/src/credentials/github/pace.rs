use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Until when GitHub's rate limit lasts. Requests before that make it longer.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Waits until the rate limit ends. Fails with the time left if that is longer than `patience`.
    pub(super) async fn turn(&self, patience: Duration) -> Result<(), Duration> {
        loop {
            let Some(until) = *self.0.lock() else {
                return Ok(());
            };
            let wait = until.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Ok(());
            }
            if wait > patience {
                return Err(wait);
            }
            // Another request may have found a longer limit meanwhile.
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends no request for this time.
    pub(super) fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut held = self.0.lock();
        *held = Some(held.map_or(until, |held| held.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_short_limit_is_waited_for_and_a_long_one_is_told_at_once() {
        let pace = Pace::default();
        let began = Instant::now();
        assert_eq!(pace.turn(PATIENCE).await, Ok(()));
        pace.hold(Duration::from_secs(2));
        pace.hold(Duration::from_secs(1));
        assert_eq!(pace.turn(PATIENCE).await, Ok(()));
        assert_eq!(began.elapsed().as_secs(), 2, "the longer of the two");
        pace.hold(Duration::from_secs(60));
        let wait = pace.turn(PATIENCE).await.expect_err("a long limit");
        assert_eq!(wait.as_secs(), 60);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(pace.turn(PATIENCE).await, Ok(()));
    }
}
