use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use tonic::Status;

use crate::{Reason, status};

const HEADER: &str = "grpc-timeout";
/// More digits are no timeout.
const MAX_DIGITS: usize = 8;

/// When a call has to have answered, and when it has to be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    began: Instant,
    /// What the caller gives it.
    given: Option<Duration>,
    /// What any call may take to answer.
    most: Duration,
}

impl Deadline {
    /// Begins now.
    pub(super) fn of(headers: &HeaderMap, most: Duration) -> Self {
        Self {
            began: Instant::now(),
            given: headers.get(HEADER).and_then(|value| read(value.as_bytes())),
            most,
        }
    }

    /// Runs what answers, until it has to have answered.
    pub(super) async fn answer<F: Future>(&self, answer: F) -> Result<F::Output, Status> {
        let limit = self.given.map_or(self.most, |given| given.min(self.most));
        let answered = tokio::time::timeout_at(self.began + limit, answer);
        answered.await.map_err(|_| match self.given {
            Some(given) if given <= self.most => passed(),
            _ => status(
                Reason::DeadlineExceeded,
                format!(
                    "there was no answer within {} s, which is as long as a call may take (--max-call-seconds, HEARTH_MAX_CALL_SECONDS); what it began may go on",
                    self.most.as_secs()
                ),
            ),
        })
    }

    /// When a stream has to be over, if its caller says so.
    pub(super) fn end(&self) -> Option<Instant> {
        self.began.checked_add(self.given?)
    }
}

/// The time that the caller gave has passed.
pub(super) fn passed() -> Status {
    status(
        Reason::DeadlineExceeded,
        "the time that the caller gave this call has passed; what it began may go on",
    )
}

/// `DIGITS UNIT`. What is something else sets no deadline.
fn read(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    let number = (1..=MAX_DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())??;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::time::sleep;
    use tonic::Code;

    use super::*;

    const MOST: Duration = Duration::from_secs(60);

    fn deadline(timeout: Option<&str>) -> Deadline {
        let mut headers = HeaderMap::new();
        if let Some(timeout) = timeout {
            headers.insert(HEADER, HeaderValue::from_str(timeout).unwrap());
        }
        Deadline::of(&headers, MOST)
    }

    #[test]
    fn a_timeout_has_digits_and_a_unit() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("10S", Duration::from_secs(10)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("5u", Duration::from_micros(5)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(text.as_bytes()), Some(expected), "{text}");
        }
        for bad in [
            "",
            "S",
            "1",
            "+1S",
            "1.5S",
            "123456789S",
            "1s",
            "-1S",
            "1 S",
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_when_its_caller_says_or_when_it_took_too_long() {
        for (timeout, limit, word) in [
            (Some("5S"), Duration::from_secs(5), "caller"),
            (Some("2M"), MOST, "--max-call-seconds"),
            (Some("99999999H"), MOST, "--max-call-seconds"),
            (None, MOST, "--max-call-seconds"),
        ] {
            let answer = |after| async move {
                let deadline = deadline(timeout);
                let answered = deadline.answer(sleep(after)).await;
                answered.map_err(|status| (status.code(), status.message().to_owned()))
            };
            let little = Duration::from_millis(2);
            assert_eq!(answer(limit - little).await, Ok(()));
            let (code, why) = answer(limit + little).await.unwrap_err();
            assert_eq!(code, Code::DeadlineExceeded);
            assert!(why.contains(word), "{why}");
        }
        assert!(deadline(None).end().is_none());
        assert!(deadline(Some("5S")).end().is_some());
    }
}
