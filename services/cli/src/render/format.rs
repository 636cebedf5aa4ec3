//! Numbers, times, ids and words as people read them.

use console::{measure_text_width, truncate_str};
use prost_types::Timestamp;

/// `512 B`, `1.4 kB`, `52 MB`, `1.2 GB`: decimal units, as registries count.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        // Values that round up to 1000 get the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" || value >= 9.95 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// `3.1 s`, `2 min 05 s`, `1 h 02 min`.
pub(crate) fn seconds(value: f64) -> String {
    if value < 99.95 {
        return format!("{:.1} s", value.max(0.0));
    }
    let whole = value.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, rest) => format!("{minutes} min {rest:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// `12s`, `5m`, `3h`, `2d`: for tables.
pub(crate) fn age(from: Option<&Timestamp>, now: &Timestamp) -> String {
    let Some(from) = from else {
        return "-".to_owned();
    };
    let whole = between(from, now).max(0.0) as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m", whole / 60),
        3600..86_400 => format!("{}h", whole / 3600),
        _ => format!("{}d", whole / 86_400),
    }
}

/// Seconds from one time to another; negative when clocks disagree.
pub(crate) fn between(from: &Timestamp, to: &Timestamp) -> f64 {
    (to.seconds - from.seconds) as f64 + f64::from(to.nanos - from.nanos) / 1e9
}

/// `2026-01-31T12:00:00Z`, whole seconds.
pub(crate) fn clock(time: Option<&Timestamp>) -> String {
    match time {
        Some(time) => Timestamp {
            seconds: time.seconds,
            nanos: 0,
        }
        .to_string(),
        None => "-".to_owned(),
    }
}

/// The first 12 characters, as Docker prints ids.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// `12 (60%)`: a number and what part of all it is.
pub(crate) fn share(part: u64, all: u64) -> String {
    match percent(part, all) {
        Some(percent) => format!("{part} ({percent})"),
        None => part.to_string(),
    }
}

/// `60%`; `None` of nothing. Only all of it is 100%, and only none of it 0%.
pub(crate) fn percent(part: u64, all: u64) -> Option<String> {
    if all == 0 {
        return None;
    }
    let rounded = (part as f64 * 100.0 / all as f64).round() as u64;
    Some(match rounded {
        0 if part > 0 => "<1%".to_owned(),
        100.. if part < all => ">99%".to_owned(),
        rounded => format!("{rounded}%"),
    })
}

/// A text of at most `width` columns. What is too long loses its middle: names of images, branches and folders differ at
/// their ends.
pub(crate) fn cut_middle(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let mut tail = String::new();
    for c in text.chars().rev() {
        let longer = format!("{c}{tail}");
        if measure_text_width(&longer) > room / 2 {
            break;
        }
        tail = longer;
    }
    let head = room - measure_text_width(&tail);
    format!("{}…{tail}", truncate_str(text, head, ""))
}

/// A word for a shell, quoted where needed: a printed command may be copied, and must not run anything else.
pub(crate) fn shell_word(word: &str) -> String {
    let quoted = shlex::Quoter::new().allow_nul(true).quote(word);
    quoted.map_or_else(|_| "''".to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_ends_and_never_its_width() {
        for (text, width, short) in [
            ("short", 5, "short"),
            ("feature/a-very-long-name", 11, "featu…-name"),
            ("日本語日本語", 8, "日本…語"),
            ("abc", 1, "…"),
        ] {
            assert_eq!(cut_middle(text, width), short);
            assert!(measure_text_width(&cut_middle(text, width)) <= width);
        }
    }

    #[test]
    fn a_part_is_not_told_as_none_or_all() {
        for (part, all, text) in [
            (0, 0, None),
            (0, 9, Some("0%")),
            (1, 3, Some("33%")),
            (1, 1000, Some("<1%")),
            (999, 1000, Some(">99%")),
            (9, 9, Some("100%")),
        ] {
            assert_eq!(percent(part, all).as_deref(), text);
        }
        assert_eq!((share(0, 0), share(1, 2)), ("0".into(), "1 (50%)".into()));
    }

    #[test]
    fn bytes_have_two_digits_or_three() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_400, "1.4 kB"),
            (9_960_000, "10 MB"),
            (52_300_000, "52 MB"),
            (999_600_000, "1.0 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn seconds_turn_into_minutes_and_hours() {
        for (value, text) in [
            (-1.0, "0.0 s"),
            (3.06, "3.1 s"),
            (99.94, "99.9 s"),
            (125.0, "2 min 05 s"),
            (3720.0, "1 h 02 min"),
        ] {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn ages_are_short_and_never_negative() {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        let now = at(1_000_000);
        for (from, text) in [
            (1_000_005, "0s"),
            (999_950, "50s"),
            (999_000, "16m"),
            (990_000, "2h"),
            (100_000, "10d"),
        ] {
            assert_eq!(age(Some(&at(from)), &now), text);
        }
        assert_eq!(age(None, &now), "-");
        assert_eq!(clock(Some(&at(0))), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_copied_word_runs_nothing() {
        assert_eq!(shell_word("/workspaces/a"), "/workspaces/a");
        assert_eq!(shell_word("a b;$(c)"), "'a b;$(c)'");
        assert_eq!(
            shlex::split(&shell_word("it's $(a)")),
            Some(vec!["it's $(a)".to_owned()])
        );
        assert_eq!(shell_word(""), "''");
    }
}
