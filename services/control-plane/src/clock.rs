use std::time::SystemTime;

use prost_types::Timestamp;

/// The current time, for the log.
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
