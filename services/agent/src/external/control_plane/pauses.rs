use std::{future::Future, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use tonic::{Code, Status};

/// Pauses before a control plane that does not answer is asked again: 6, of a quarter of a second and then twice as long
/// each time. Together they are 16 to 32 s. A restart of the control plane takes less, and most builds take more.
///
/// Each is longer by a random part of itself: all agents lose the control plane at the same moment, and must not come
/// back at the same moment.
pub const fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_jitter()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(8))
        .with_max_times(6)
}

/// Makes a call that may be repeated, and repeats it after `pauses` while the control plane is not there, or has too much to do.
pub(super) async fn while_unavailable<T, F>(
    pauses: ExponentialBuilder,
    call: impl FnMut() -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    call.retry(pauses)
        .when(|status: &Status| {
            matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
        })
        .await
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Asks a control plane that does not come back; returns when it was asked, from the first time on.
    async fn ask_in_vain(code: Code) -> Vec<Duration> {
        let start = Instant::now();
        let mut asked = Vec::new();
        let call = || {
            asked.push(start.elapsed());
            std::future::ready(Err::<(), _>(Status::new(code, "no")))
        };
        while_unavailable(pauses(), call).await.unwrap_err();
        asked
    }

    #[tokio::test(start_paused = true)]
    async fn two_agents_that_lose_the_control_plane_at_once_do_not_come_back_at_once() {
        let (one, two) = tokio::join!(
            ask_in_vain(Code::Unavailable),
            ask_in_vain(Code::Unavailable)
        );
        assert_eq!((one.len(), two.len()), (7, 7));
        assert_ne!(one, two);
        for asked in [one, two] {
            let last = asked[6].as_secs_f64();
            assert!((15.75..32.0).contains(&last), "{asked:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_says_no_is_an_answer() {
        assert_eq!(ask_in_vain(Code::FailedPrecondition).await.len(), 1);
    }
}
