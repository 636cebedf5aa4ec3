use super::*;

const NOW: u64 = 1_000_000_000;

fn told(headers: &[(&'static str, String)]) -> Told {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().expect("a value"));
    }
    Told::read(&map, UNIX_EPOCH + Duration::from_secs(NOW))
}

fn date(seconds: u64) -> (&'static str, String) {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    ("date", date)
}

fn refusal(status: u16, headers: &[(&'static str, String)], body: &str) -> Refusal {
    let status = StatusCode::from_u16(status).expect("a status");
    read::<serde_json::Value>(status, &told(headers), body.as_bytes()).expect_err("a refusal")
}

#[test]
fn each_status_has_its_meaning() {
    let said = r#"{"message":"This installation has been suspended"}"#;
    let no_app = r#"{"message":"Integration not found"}"#;
    let suspended = "This installation has been suspended";
    for (status, body, meaning) in [
        (401, "{}", Refusal::KeyRefused),
        (403, said, Refusal::Forbidden(suspended.into())),
        (404, "{}", Refusal::Missing),
        (404, no_app, Refusal::KeyRefused),
        (422, said, Refusal::Impossible(suspended.into())),
        (500, "", Refusal::Unreachable("status 500".into())),
        (503, "<html>", Refusal::Unreachable("status 503".into())),
        (
            200,
            "<html>",
            Refusal::Unexpected("something that is not the JSON of its API".into()),
        ),
        (418, "", Refusal::Unexpected("status 418".into())),
    ] {
        assert_eq!(refusal(status, &[], body), meaning, "{status} {body}");
    }
    let moved = refusal(301, &[], "");
    assert!(
        matches!(&moved, Refusal::Unexpected(what) if what.contains("new name")),
        "{moved:?}"
    );
}

#[test]
fn a_signature_is_refused_for_its_time_only_where_the_clocks_differ() {
    for (theirs, meaning) in [
        (NOW + 60, Refusal::KeyRefused),
        (NOW - 60, Refusal::KeyRefused),
        (
            NOW + 300,
            Refusal::ClockSkew {
                ahead_seconds: -300,
            },
        ),
        (NOW - 90, Refusal::ClockSkew { ahead_seconds: 90 }),
    ] {
        assert_eq!(refusal(401, &[date(theirs)], "{}"), meaning);
    }
    assert_eq!(told(&[date(NOW + 300)]).skew_seconds, Some(300));
    assert_eq!(told(&[date(NOW - 90)]).skew_seconds, Some(-90));
    assert_eq!(told(&[]).skew_seconds, None);
}

#[test]
fn a_limit_says_how_long_nobody_is_to_ask() {
    let header = |name: &'static str, value: u64| (name, value.to_string());
    let remaining = |value| header("x-ratelimit-remaining", value);
    let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
    for (status, headers, body, seconds) in [
        (429, vec![header("retry-after", 7)], "{}", 7),
        (403, vec![header("retry-after", 7)], "{}", 7),
        (429, vec![], "", 60),
        (403, vec![], secondary, 60),
        (
            403,
            vec![remaining(0), header("x-ratelimit-reset", NOW + 90)],
            "{}",
            90,
        ),
        // The reset is a time of GitHub's clock.
        (
            403,
            vec![
                remaining(0),
                header("x-ratelimit-reset", NOW + 90),
                date(NOW + 30),
            ],
            "{}",
            60,
        ),
        (
            403,
            vec![remaining(0), header("x-ratelimit-reset", NOW - 5)],
            "{}",
            1,
        ),
        (429, vec![header("retry-after", 1_000_000)], "", 3600),
    ] {
        let wait = Duration::from_secs(seconds);
        assert_eq!(
            refusal(status, &headers, body),
            Refusal::RateLimited(wait),
            "{headers:?}"
        );
    }
    let forbidden = refusal(403, &[remaining(9)], r#"{"message":"no"}"#);
    assert_eq!(forbidden, Refusal::Forbidden("no".into()));
}

#[test]
fn githubs_words_are_short_and_hold_no_secret() {
    let token = format!("ghs_{}", "x".repeat(36));
    let body = serde_json::json!({"message": format!("no \u{1b}[2J {token} at all")}).to_string();
    assert_eq!(words(body.as_bytes()), "no … … at all");
    let long = serde_json::json!({"message": "word ".repeat(1000)}).to_string();
    assert!(words(long.as_bytes()).len() <= 250);
    assert_eq!(words(b"<html>"), "no reason given");
}
