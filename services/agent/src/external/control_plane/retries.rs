use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff};

use super::pauses::pauses;

/// Tries again without an end what the node cannot do without, after longer and longer pauses.
#[derive(Debug)]
pub struct Retries {
    pauses: ExponentialBackoff,
    longest: Duration,
    told: Option<String>,
}

impl Retries {
    /// The longest pause, which jitter makes twice as long at most.
    pub fn up_to(longest: Duration) -> Self {
        let endless = pauses().with_max_delay(longest).without_max_times();
        Self {
            pauses: endless.build(),
            longest,
            told: None,
        }
    }

    /// Whether a failure is another one than the last: the log has each once.
    pub fn is_news(&mut self, why: &str) -> bool {
        let is_news = self.told.as_deref() != Some(why);
        if is_news {
            self.told = Some(why.to_owned());
        }
        is_news
    }

    /// Waits until it is time to try again.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.pauses.next().unwrap_or(self.longest)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_longest_and_a_failure_is_news_until_there_is_another() {
        let longest = Duration::from_secs(1);
        let mut retries = Retries::up_to(longest);
        let told = ["a", "a", "b", "b", "a"].map(|why| retries.is_news(why));
        assert_eq!(told, [true, false, true, false, true]);
        let mut last = Duration::ZERO;
        for _ in 0..50 {
            let began = Instant::now();
            retries.pause().await;
            last = began.elapsed();
        }
        assert!((longest..=longest * 2 + Duration::from_millis(2)).contains(&last));
    }
}
