//! Cache entries, explanations and statistics as text.

use hearth_api::v1::{CacheEntry, CacheStats, Explanation, GetStatsResponse};
use hearth_domain::text::printable_line;
use prost_types::Timestamp;

use super::{
    format::{age, bytes, seconds, short},
    table::table,
};

/// Digits shown of a key: enough to tell entries apart, and more than `hearth cache rm --key` needs.
const KEY_DIGITS: usize = 16;

/// `hearth cache ls`
pub(crate) fn entries(entries: &[CacheEntry], now: &Timestamp) -> String {
    let rows = entries.iter().map(|entry| {
        let digits = entry.key.split_once(':').map_or("", |(_, digits)| digits);
        [
            entry.repository.clone(),
            entry.config.clone(),
            digits.chars().take(KEY_DIGITS).collect(),
            entry.platform.clone(),
            entry.r#ref.clone(),
            short(&entry.commit),
            bytes(entry.bytes),
            seconds(entry.build_seconds),
            age(entry.create_time.as_ref(), now),
            age(entry.last_use_time.as_ref(), now),
        ]
    });
    table(
        [
            "REPOSITORY",
            "CONFIG",
            "KEY",
            "PLATFORM",
            "REF",
            "COMMIT",
            "SIZE",
            "BUILD",
            "AGE",
            "USED",
        ],
        rows,
    )
}

/// `hearth cache explain`
pub(crate) fn explanation(explanation: &Explanation) -> String {
    let mut text = printable_line(&explanation.text);
    text.push('\n');
    for (name, value) in [
        ("key", explanation.key.as_str()),
        (
            "image",
            explanation
                .entry
                .as_ref()
                .map_or("", |entry| entry.digest.as_str()),
        ),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {}\n", printable_line(value)));
        }
    }
    text
}

/// `hearth cache stats`
pub(crate) fn stats(stats: &GetStatsResponse) -> String {
    let total = CacheStats {
        repository: "all".into(),
        ..stats.total.clone().unwrap_or_default()
    };
    let rows = stats.repositories.iter().chain([&total]).map(|one| {
        [
            one.repository.clone(),
            one.exact.to_string(),
            one.partial.to_string(),
            one.misses.to_string(),
            one.skipped.to_string(),
            one.entries.to_string(),
            bytes(one.bytes),
            seconds(one.saved_seconds),
        ]
    });
    table(
        [
            "REPOSITORY",
            "FETCHED",
            "PARTLY BUILT",
            "BUILT",
            "SKIPPED",
            "IMAGES",
            "SIZE",
            "SAVED",
        ],
        rows,
    )
}
