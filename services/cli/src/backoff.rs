use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// The first delay; it doubles with every failure.
const FIRST: Duration = Duration::from_millis(250);
/// The longest delay, whatever the control plane asks for: a person is waiting.
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential backoff with jitter, until nothing has succeeded for `limit`.
#[derive(Debug)]
pub(crate) struct Backoff {
    limit: Duration,
    /// When the first of the current failures happened, and the delays from then on.
    failing: Option<(Instant, ExponentialBackoff)>,
}

impl Backoff {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            failing: None,
        }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// True between a failure and the next success.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    pub(crate) fn succeeded(&mut self) {
        self.failing = None;
    }

    /// The delay before the next attempt, at least `hint`; `None` when the limit has passed.
    pub(crate) fn failed(&mut self, hint: Option<Duration>) -> Option<Duration> {
        let (since, delays) = self.failing.get_or_insert_with(|| {
            let delays = ExponentialBuilder::default()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST)
                .without_max_times()
                .with_jitter()
                .build();
            (Instant::now(), delays)
        });
        if since.elapsed() >= self.limit {
            return None;
        }
        let delay = delays.next().unwrap_or(LONGEST);
        Some(delay.max(hint.unwrap_or_default()).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_grow_stay_bounded_and_end_at_the_limit() {
        let limit = Duration::from_secs(60);
        let mut backoff = Backoff::new(limit);
        let began = Instant::now();
        let mut delays = Vec::new();
        while let Some(delay) = backoff.failed(None) {
            tokio::time::sleep(delay).await;
            delays.push(delay);
        }
        assert!(delays[0] < Duration::from_secs(1), "{delays:?}");
        assert!(delays.iter().all(|delay| *delay <= LONGEST), "{delays:?}");
        assert!((limit..limit + 2 * LONGEST).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_starts_over_and_a_hint_is_heeded_within_the_bounds() {
        let mut backoff = Backoff::new(Duration::ZERO);
        assert_eq!(backoff.failed(None), None);
        let mut backoff = Backoff::new(Duration::from_secs(60));
        assert_eq!(
            backoff.failed(Some(Duration::from_secs(900))),
            Some(LONGEST)
        );
        assert!(backoff.is_failing());
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(backoff.failed(None), None);
        backoff.succeeded();
        assert!(!backoff.is_failing() && backoff.failed(None).is_some());
    }
}
