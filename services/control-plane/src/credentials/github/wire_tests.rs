use serde_json::json;

use super::*;
use crate::credentials::Rights;

fn slug() -> Slug {
    let repository: Repository = "https://github.com/Acme/Shop"
        .parse()
        .expect("a repository");
    Slug::of(&repository).expect("a slug")
}

fn check(answer: serde_json::Value) -> Result<Token, String> {
    let answer: TokenAnswer = serde_json::from_value(answer).expect("an answer");
    let needed = Permissions::needed(true, true, Rights::Write);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    answer.check(&slug(), needed, now)
}

fn good() -> serde_json::Value {
    json!({
        "token": "ghs_planted",
        "expires_at": "2001-09-09T02:46:40Z",
        "permissions": {"contents": "read", "metadata": "read", "packages": "write"},
        "repositories": [{"id": 7, "name": "shop", "full_name": "acme/shop"}],
    })
}

#[test]
fn a_token_that_is_exactly_what_was_asked_for_is_taken() {
    let token = check(good()).expect("a token");
    assert_eq!(token.life, Duration::from_secs(3600));
    assert_eq!(token.sha256, sha256_hex("ghs_planted"));
    assert!(!format!("{token:?}").contains("planted"), "{token:?}");
}

#[test]
fn a_token_that_is_anything_else_is_thrown_away() {
    for (field, value) in [
        (
            "permissions",
            json!({"contents": "read", "metadata": "read"}),
        ),
        (
            "permissions",
            json!({"contents": "write", "metadata": "read", "packages": "write"}),
        ),
        (
            "permissions",
            json!({"contents": "read", "metadata": "read", "packages": "write", "issues": "read"}),
        ),
        ("repositories", json!([])),
        ("repositories", json!([{"name": "other"}])),
        (
            "repositories",
            json!([{"name": "shop", "full_name": "evil/shop"}]),
        ),
        ("repositories", json!([{"name": "shop"}, {"name": "other"}])),
        ("expires_at", json!("soon")),
        ("expires_at", json!("2001-09-09T01:46:40Z")),
        ("token", json!("")),
        ("token", json!("ghs planted\nusername=other")),
    ] {
        let mut answer = good();
        answer[field] = value.clone();
        let why = check(answer).expect_err("not what was asked for");
        assert!(!why.contains("planted"), "{why}");
    }
}

#[test]
fn a_life_longer_than_github_ever_gives_is_not_believed() {
    let mut answer = good();
    answer["expires_at"] = json!("2031-01-01T00:00:00+01:00");
    assert_eq!(check(answer).expect("a token").life, LONGEST_LIFE);
}

#[test]
fn a_repository_at_github_has_an_owner_and_a_name() {
    let slug_of = |url: &str| Slug::of(&url.parse::<Repository>().expect("a repository"));
    assert_eq!(slug().to_string(), "Acme/Shop");
    assert_eq!(slug().key(), "acme/shop");
    assert!(slug_of("https://ghe.example/a/b/c").is_none());
    assert!(slug_of("https://ghe.example/a").is_none());
}
