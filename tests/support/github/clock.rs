//! The stand-in's clock, which may be wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{
    OffsetDateTime,
    format_description::well_known::{Rfc2822, Rfc3339},
};

/// Seconds since 1970 on this machine.
pub fn machine_seconds() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(now.as_secs()).expect("a sensible time")
}

/// As in JSON.
pub fn rfc3339(seconds: i64) -> String {
    date(seconds).format(&Rfc3339).expect("a date")
}

/// As in the `Date` header.
pub fn http_date(seconds: i64) -> String {
    let text = date(seconds).format(&Rfc2822).expect("a date");
    text.replace("+0000", "GMT")
}

fn date(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).expect("a sensible time")
}

/// A length of time in whole seconds.
pub fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).expect("a sensible time")
}
