//! Cache entries, explanations and statistics as text.

use hearth_api::v1::{CacheEntry, CacheStats, Explanation, GetStatsResponse};
use hearth_domain::text::printable_line;
use prost_types::Timestamp;

use super::{
    format::{age, bytes, percent, seconds, share, short},
    table::{Room, fitted, table},
};

/// Digits shown of a key: enough to tell entries apart, and more than `hearth cache rm --key` needs.
const KEY_DIGITS: usize = 12;

/// `hearth cache ls`
pub(crate) fn entries(entries: &[CacheEntry], room: Room, now: &Timestamp) -> String {
    let rows = entries.iter().map(|entry| {
        [
            named(&entry.source, &entry.repository),
            config_of(entry),
            key_digits(&entry.key),
            entry.r#ref.clone(),
            bytes(entry.bytes),
            seconds(entry.build_seconds),
            age(entry.create_time.as_ref(), now),
            age(entry.last_use_time.as_ref(), now),
            short(&entry.commit),
            entry.platform.clone(),
            entry.repository.clone(),
        ]
    });
    let head = [
        "REPOSITORY",
        "CONFIG",
        "KEY",
        "REF",
        "SIZE",
        "BUILD",
        "AGE",
        "USED",
        "COMMIT",
        "PLATFORM",
        "REGISTRY",
    ];
    match room {
        Room::Wide => table(head, rows),
        Room::Fitted => fitted(
            first::<8, _>(head),
            rows.map(first::<8, _>),
            &[0, 1, 3],
            room,
        ),
    }
}

/// The configuration that an entry is for, and the service of its Docker Compose project, if it is one's.
pub(super) fn config_of(entry: &CacheEntry) -> String {
    match (&*entry.config, &*entry.service) {
        (config, "") => config.to_owned(),
        (config, service) => format!("{config} service {service}").trim().to_owned(),
    }
}

/// The first digits of a key.
pub(super) fn key_digits(key: &str) -> String {
    let digits = key.split_once(':').map_or("", |(_, digits)| digits);
    digits.chars().take(KEY_DIGITS).collect()
}

/// The first columns of a row.
fn first<const N: usize, T>(row: impl IntoIterator<Item = T>) -> [T; N]
where
    T: Default,
{
    let mut row = row.into_iter();
    std::array::from_fn(|_| row.next().unwrap_or_default())
}

/// The repository as it was asked for; where that is not known, its place in the registry.
fn named(source: &str, registry: &str) -> String {
    match source {
        "" => registry.to_owned(),
        source => source.to_owned(),
    }
}

/// `hearth cache explain`
pub(crate) fn explanation(explanation: &Explanation) -> String {
    let mut text = printable_line(&explanation.text);
    text.push('\n');
    let entry = explanation.entry.as_ref();
    let other = entry.filter(|entry| entry.key != explanation.key);
    let compared = other.map(|entry| format!("{}, image {}", entry.key, entry.digest));
    for (name, value) in [
        ("key", explanation.key.as_str()),
        ("image", explanation.image_digest.as_str()),
        ("compared with", compared.as_deref().unwrap_or_default()),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {}\n", printable_line(value)));
        }
    }
    text
}

/// `hearth cache stats`
pub(crate) fn stats(stats: &GetStatsResponse, room: Room) -> String {
    let total = CacheStats {
        source: "all".into(),
        ..stats.total.clone().unwrap_or_default()
    };
    let rows = stats.repositories.iter().chain([&total]).map(|one| {
        let all = one.exact + one.partial + one.misses;
        [
            named(&one.source, &one.repository),
            percent(one.exact + one.partial, all).unwrap_or_default(),
            share(one.exact, all),
            share(one.partial, all),
            share(one.misses, all),
            one.skipped.to_string(),
            one.entries.to_string(),
            bytes(one.bytes),
            seconds(one.saved_seconds),
            one.repository.clone(),
        ]
    });
    let head = [
        "REPOSITORY",
        "HITS",
        "EXACT",
        "PARTIAL",
        "MISS",
        "SKIPPED",
        "IMAGES",
        "SIZE",
        "SAVED",
        "REGISTRY",
    ];
    match room {
        Room::Wide => table(head, rows),
        Room::Fitted => fitted(first::<9, _>(head), rows.map(first::<9, _>), &[0], room),
    }
}
