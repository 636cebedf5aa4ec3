//! What GitHub's answers mean (docs.github.com, "Troubleshooting the REST API" and "Rate limits for the REST API").

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};

use super::failure::Refusal;

/// Tolerance of GitHub for the time of signatures: its documentation advises to date them a minute back.
const SKEW_SECONDS: i64 = 60;
/// GitHub's advice for a rate limit without a time.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// The primary rate limit is reset every hour, so a longer wait is a mistake.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
const MAX_WORDS: usize = 200;
/// Longer words of a message are left out: they could be secrets.
const MAX_WORD: usize = 32;

/// The headers of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// GitHub's time.
    pub(super) date: Option<SystemTime>,
    /// Seconds by which GitHub's clock is ahead of ours.
    pub(super) skew_seconds: Option<i64>,
    /// Requests before the limit is reset.
    pub(super) remaining: Option<i64>,
    retry_after: Option<Duration>,
    reset: Option<Duration>,
}

impl Told {
    /// Reads the headers of an answer that came at `now`, by our clock.
    pub(super) fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u64>().ok());
        let date = text("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let theirs = date.unwrap_or(now);
        let reset = number("x-ratelimit-reset").map(|at| {
            let now = theirs.duration_since(UNIX_EPOCH).unwrap_or_default();
            Duration::from_secs(at).saturating_sub(now)
        });
        Self {
            date,
            skew_seconds: date.map(|date| ahead_seconds(date, now)),
            remaining: number("x-ratelimit-remaining").and_then(|left| i64::try_from(left).ok()),
            retry_after: number("retry-after").map(Duration::from_secs),
            reset,
        }
    }

    /// How long to send no requests, if a 403 or 429 is due to a rate limit.
    fn wait(&self) -> Option<Duration> {
        let exhausted = self.remaining == Some(0);
        let wait = match self.retry_after {
            Some(wait) => Some(wait),
            None if exhausted => Some(self.reset.unwrap_or(DEFAULT_WAIT)),
            None => None,
        };
        wait.map(|wait| wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
    }
}

/// Seconds by which `theirs` is ahead of `ours`. A date has whole seconds, so a part of one is ignored.
fn ahead_seconds(theirs: SystemTime, ours: SystemTime) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match theirs.duration_since(ours) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}

/// The decoded answer.
pub(super) fn read<T: DeserializeOwned>(
    status: StatusCode,
    told: &Told,
    body: &[u8],
) -> Result<T, Refusal> {
    match status.as_u16() {
        // serde's message could contain a token.
        200 | 201 => serde_json::from_slice(body)
            .map_err(|_| Refusal::Unexpected("something that is not the JSON of its API".into())),
        401 => Err(match told.skew_seconds {
            Some(skew) if skew.abs() > SKEW_SECONDS => Refusal::ClockSkew {
                ahead_seconds: -skew,
            },
            _ => Refusal::KeyRefused,
        }),
        403 | 429 => {
            let words = words(body);
            let limited = status == StatusCode::TOO_MANY_REQUESTS || words.contains("rate limit");
            Err(match told.wait() {
                Some(wait) => Refusal::RateLimited(wait),
                None if limited => Refusal::RateLimited(DEFAULT_WAIT),
                None => Refusal::Forbidden(words),
            })
        }
        // No App has the id in the signature.
        404 if words(body).contains("Integration not found") => Err(Refusal::KeyRefused),
        404 => Err(Refusal::Missing),
        422 => Err(Refusal::Impossible(words(body))),
        301 | 302 | 307 | 308 => Err(Refusal::Unexpected(format!(
            "status {}: the repository has moved, use its new name",
            status.as_u16()
        ))),
        500..=599 => Err(Refusal::Unreachable(format!("status {}", status.as_u16()))),
        other => Err(Refusal::Unexpected(format!("status {other}"))),
    }
}

/// GitHub's message of a failure, short and printable, without anything that could be a secret.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let Ok(said) = serde_json::from_slice::<Said>(body) else {
        return "no reason given".to_owned();
    };
    let mut words = String::new();
    for word in said.message.split_whitespace() {
        if words.len() + word.len() > MAX_WORDS {
            break;
        }
        if !words.is_empty() {
            words.push(' ');
        }
        let printable = word.len() <= MAX_WORD && !word.contains(char::is_control);
        words.push_str(if printable { word } else { "…" });
    }
    words
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
