//! The App, its installations and their tokens.

use hearth_tests::{
    GitHub,
    curl::Request,
    github::{Repositories, Route, Visibility},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{ask, github, good_jwt, jwt, lookup, mint, now, try_mint};

#[tokio::test]
async fn both_key_files_sign_for_the_same_app_and_belong_to_their_owner_alone() {
    use std::os::unix::fs::MetadataExt as _;

    let (github, _dir) = github().await;
    for file in [github.key_file(), github.pkcs1_key_file()] {
        assert_eq!(std::fs::metadata(file).unwrap().mode() & 0o777, 0o600);
        let key = std::fs::read(file).unwrap();
        let key = EncodingKey::from_rsa_pem(&key).unwrap();
        let claims =
            json!({"iss": github.app_id().to_string(), "iat": now() - 60, "exp": now() + 540});
        let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap();
        assert_eq!(lookup(&github, &jwt).await.status, 200);
        assert!(github.secrets().contains(&jwt));
    }
    let text = std::fs::read_to_string(github.pkcs1_key_file()).unwrap();
    assert!(text.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    let middle = text.lines().nth(5).unwrap();
    assert!(github.key_lines().iter().any(|line| line == middle));
}

#[tokio::test]
async fn a_jwt_that_is_not_the_apps_or_not_of_this_time_is_refused() {
    let (github, _dir) = github().await;
    let id = github.app_id();
    for (claims, says) in [
        (
            json!({"iss": id, "iat": now() + 30, "exp": now() + 300}),
            "'Issued at'",
        ),
        (json!({"iss": id, "exp": now() + 300}), "'Issued at'"),
        (
            json!({"iss": id, "iat": now() - 600, "exp": now() - 1}),
            "future time",
        ),
        (
            json!({"iss": id, "iat": now() - 60, "exp": now() + 660}),
            "too far",
        ),
        (
            json!({"iat": now() - 60, "exp": now() + 540}),
            "'Issuer' claim",
        ),
    ] {
        let answer = lookup(&github, &jwt(&github, &claims)).await;
        assert_eq!(answer.status, 401, "{claims}");
        assert!(answer.body.contains(says), "{claims}: {}", answer.body);
    }
    let other = json!({"iss": id + 1, "iat": now() - 60, "exp": now() + 540});
    assert_eq!(lookup(&github, &jwt(&github, &other)).await.status, 404);

    let mut forged = good_jwt(&github);
    forged.replace_range(forged.len() - 10.., "AAAAAAAAAA");
    let claims = json!({"iss": id, "iat": now() - 60, "exp": now() + 540});
    let secret = EncodingKey::from_secret(b"guessed");
    let symmetric = jsonwebtoken::encode(&Header::default(), &claims, &secret).unwrap();
    for jwt in [forged, symmetric, "nonsense".to_owned()] {
        let answer = lookup(&github, &jwt).await;
        assert_eq!(answer.status, 401);
        assert!(
            answer.body.contains("could not be decoded"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_clock_that_differs_refuses_the_jwt_and_shows_in_the_date() {
    let (github, _dir) = github().await;
    let right = lookup(&github, &good_jwt(&github)).await;
    for offset in [-3600, 3600] {
        github.set_clock_offset(offset);
        let answer = lookup(&github, &good_jwt(&github)).await;
        assert_eq!(answer.status, 401, "{offset}");
        let date = &answer.headers["date"];
        assert!(date.ends_with(" GMT") && *date != right.headers["date"]);
    }
    github.set_clock_offset(0);
    assert_eq!(lookup(&github, &good_jwt(&github)).await.status, 200);
}

#[tokio::test]
async fn an_installation_is_found_by_a_repository_that_it_has_in_any_letter_case() {
    let (github, _dir) = github().await;
    let jwt = good_jwt(&github);
    let status = async |path: &str| ask(&github, "GET", path, &jwt, "").await.status;
    assert_eq!(status("/repos/ACME/Shop/installation").await, 200);
    assert_eq!(status("/repos/acme/secret/installation").await, 404);
    assert_eq!(status("/repos/acme/nothing/installation").await, 404);
    github.select("acme", Repositories::All);
    assert_eq!(status("/repos/acme/secret/installation").await, 200);
    let found = lookup(&github, &jwt).await.json();
    assert_eq!(found["permissions"]["packages"], "write");
    assert_eq!(found["suspended_at"], Value::Null);

    let again = github.reinstall("acme");
    assert_eq!(lookup(&github, &jwt).await.json()["id"], again);
    assert_ne!(found["id"], again);
    let path = format!("/app/installations/{}/access_tokens", found["id"]);
    assert_eq!(ask(&github, "POST", &path, &jwt, "").await.status, 404);

    github.uninstall("acme");
    assert_eq!(lookup(&github, &jwt).await.status, 404);
    assert_eq!(github.lookups_for("acme/shop"), 4);
    assert_eq!(github.lookups(), 7);
}

#[tokio::test]
async fn a_token_has_what_was_asked_for_and_metadata() {
    let (github, _dir) = github().await;
    let all = try_mint(&github, &json!({})).await.json();
    assert_eq!(
        all["permissions"],
        json!({"contents": "read", "metadata": "read", "packages": "write"})
    );
    assert_eq!(all["repository_selection"], "selected");
    assert_eq!(all["repositories"], Value::Null);
    let token = all["token"].as_str().unwrap();
    assert!(token.starts_with("ghs_") && token.len() == 40, "{token}");

    let body = json!({"repositories": ["Shop"], "permissions": {"packages": "read"}});
    let one = try_mint(&github, &body).await.json();
    assert_eq!(
        one["permissions"],
        json!({"metadata": "read", "packages": "read"})
    );
    assert_eq!(one["repositories"][0]["full_name"], "acme/shop");
    assert_eq!(github.mints(), 2);
    assert_eq!(github.mints_for("acme/shop"), 2);
    assert_eq!(github.installation_tokens().len(), 2);
}

#[tokio::test]
async fn what_an_installation_does_not_have_its_tokens_cannot_get() {
    let (github, _dir) = github().await;
    for body in [
        json!({"permissions": {"contents": "write"}}),
        json!({"permissions": {"administration": "read"}}),
        json!({"permissions": {"contents": "any"}}),
        json!({"repositories": ["secret"]}),
        json!({"repositories": ["shop", "nothing"]}),
    ] {
        let answer = try_mint(&github, &body).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
    }
    assert_eq!(github.mints(), 0);
    github.grant("acme", "contents", "write");
    let granted = try_mint(&github, &json!({"permissions": {"contents": "write"}})).await;
    assert_eq!(granted.status, 201);
    github.grant("acme", "packages", "none");
    let body = json!({"permissions": {"packages": "read"}});
    assert_eq!(try_mint(&github, &body).await.status, 422);

    github.suspend("acme");
    let answer = try_mint(&github, &json!({})).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("suspended"), "{}", answer.body);
    github.unsuspend("acme");
    assert_eq!(try_mint(&github, &json!({})).await.status, 201);
}

async fn sees(github: &GitHub, token: &str, repository: &str) -> u16 {
    ask(github, "GET", &format!("/repos/{repository}"), token, "")
        .await
        .status
}

#[tokio::test]
async fn a_token_sees_its_repositories_until_it_ends() {
    let (github, _dir) = github().await;
    let token = mint(&github, &json!({"contents": "read"})).await;
    assert_eq!(sees(&github, &token, "acme/shop").await, 200);
    assert_eq!(sees(&github, &token, "acme/secret").await, 404);
    let listed = ask(&github, "GET", "/installation/repositories", &token, "").await;
    assert_eq!(listed.json()["total_count"], 1);

    github.set_clock_offset(3590);
    assert_eq!(sees(&github, &token, "acme/shop").await, 200);
    github.set_clock_offset(3601);
    assert_eq!(sees(&github, &token, "acme/shop").await, 401);
    github.set_clock_offset(0);
    github.token_lifetime(std::time::Duration::ZERO);
    let short = mint(&github, &json!({"contents": "read"})).await;
    assert_eq!(sees(&github, &short, "acme/shop").await, 401);
    github.revoke(&token);
    assert_eq!(sees(&github, &token, "acme/shop").await, 401);
}

#[tokio::test]
async fn a_token_ends_with_its_installation() {
    let (github, _dir) = github().await;
    let token = mint(&github, &json!({"contents": "read"})).await;
    github.suspend("acme");
    assert_eq!(sees(&github, &token, "acme/shop").await, 403);
    github.unsuspend("acme");
    github.select("acme", Repositories::selected(&["secret"]));
    assert_eq!(sees(&github, &token, "acme/shop").await, 404);
    github.select("acme", Repositories::All);
    assert_eq!(sees(&github, &token, "acme/shop").await, 200);
    github.reinstall("acme");
    assert_eq!(sees(&github, &token, "acme/shop").await, 401);
}

#[tokio::test]
async fn what_is_public_is_seen_without_a_login_but_not_with_a_wrong_one() {
    let (github, _dir) = github().await;
    github.set_visibility("acme/secret", Visibility::Public);
    let url = format!("{}/repos/acme/secret", github.url());
    assert_eq!(Request::new("GET", &url).send().await.status, 200);
    assert_eq!(sees(&github, "ghs_wrong", "acme/secret").await, 401);
    let token = mint(&github, &json!({"contents": "read"})).await;
    assert_eq!(sees(&github, &token, "acme/secret").await, 200);
}

#[tokio::test]
async fn what_github_does_not_have_is_remembered() {
    let (github, _dir) = github().await;
    let jwt = good_jwt(&github);
    assert_eq!(lookup(&github, &jwt).await.status, 200);
    assert_eq!(github.unexpected(), []);
    let path = "/orgs/acme/installation";
    assert_eq!(ask(&github, "GET", path, &jwt, "").await.status, 404);
    let unexpected = github.unexpected();
    assert_eq!(unexpected.len(), 1);
    assert_eq!(unexpected[0].path, path);
    assert_eq!(unexpected[0].status, Some(404));
    assert_eq!(github.requests_to(Route::Lookup), 1);
}

#[tokio::test]
async fn a_request_without_a_user_agent_is_refused_and_limits_are_in_every_answer() {
    let (github, _dir) = github().await;
    let url = format!("{}/repos/acme/shop/installation", github.url());
    let jwt = good_jwt(&github);
    let request = Request::new("GET", &url).bearer(&jwt).header("User-Agent:");
    assert_eq!(request.send().await.status, 403);
    let remaining = async || {
        let answer = lookup(&github, &jwt).await;
        answer.headers["x-ratelimit-remaining"]
            .parse::<u32>()
            .unwrap()
    };
    let before = remaining().await;
    assert_eq!(remaining().await, before - 1);
}
