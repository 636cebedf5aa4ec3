use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// The first pause; it doubles with every failure.
const FIRST: Duration = Duration::from_millis(250);
/// No pause is longer, whatever the peer asks for: a person is waiting.
const LONGEST: Duration = Duration::from_secs(5);

/// Decides how long to wait after a failure, and when to stop trying.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Since when nothing has succeeded; unset while things go well.
    failing: Option<(Instant, ExponentialBackoff)>,
}

impl Patience {
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
    pub(crate) fn is_tried(&self) -> bool {
        self.failing.is_some()
    }

    pub(crate) fn succeeded(&mut self) {
        self.failing = None;
    }

    /// How long to wait before the next try; `None` when the limit has passed.
    pub(crate) fn failed(&mut self, hint: Option<Duration>) -> Option<Duration> {
        let (since, pauses) = self.failing.get_or_insert_with(|| {
            let pauses = ExponentialBuilder::default()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST)
                .without_max_times()
                .with_jitter()
                .build();
            (Instant::now(), pauses)
        });
        if since.elapsed() >= self.limit {
            return None;
        }
        let pause = pauses.next().unwrap_or(LONGEST);
        Some(pause.max(hint.unwrap_or_default()).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_stay_bounded_and_end_at_the_limit() {
        let limit = Duration::from_secs(60);
        let mut patience = Patience::new(limit);
        let began = Instant::now();
        let mut pauses = Vec::new();
        while let Some(pause) = patience.failed(None) {
            tokio::time::sleep(pause).await;
            pauses.push(pause);
        }
        assert!(pauses[0] < Duration::from_secs(1), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= LONGEST), "{pauses:?}");
        assert!((limit..limit + 2 * LONGEST).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_gives_new_patience_and_a_hint_is_heeded_within_the_bounds() {
        let mut patience = Patience::new(Duration::ZERO);
        assert_eq!(patience.failed(None), None);
        let mut patience = Patience::new(Duration::from_secs(60));
        assert_eq!(
            patience.failed(Some(Duration::from_secs(900))),
            Some(LONGEST)
        );
        assert!(patience.is_tried());
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(patience.failed(None), None);
        patience.succeeded();
        assert!(!patience.is_tried() && patience.failed(None).is_some());
    }
}
