//! The stand-in for GitHub is as strict as the real one: tests against it mean something.

mod api;
mod client;
mod engines;
mod faults;
mod git;
mod packages;

use hearth_tests::{
    GitHub,
    curl::{Answer, Request},
    github::{Repositories, Visibility, WRITER},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// GitHub with the App installed for one of an account's two private repositories.
async fn github() -> (GitHub, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let github = GitHub::start(dir.path().to_owned()).await;
    for repository in ["acme/shop", "acme/secret"] {
        github.create_repository(repository, Visibility::Private);
        github.commit(repository, &[("README", "hello\n")]);
    }
    github.install("acme", Repositories::selected(&["shop"]), &WRITER);
    (github, dir)
}

fn now() -> i64 {
    jsonwebtoken::get_current_timestamp().try_into().unwrap()
}

/// A JWT of the App with these claims.
fn jwt(github: &GitHub, claims: &Value) -> String {
    let key = std::fs::read(github.pkcs1_key_file()).unwrap();
    let key = EncodingKey::from_rsa_pem(&key).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

/// A JWT as it should be.
fn good_jwt(github: &GitHub) -> String {
    let claims = json!({"iss": github.app_id(), "iat": now() - 60, "exp": now() + 540});
    jwt(github, &claims)
}

/// Asks the API.
async fn ask(github: &GitHub, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let mut request = Request::new(method, &format!("{}{path}", github.url())).bearer(token);
    if !body.is_empty() {
        request = request.body(body);
    }
    request.send().await
}

/// Looks up the installation of `acme/shop`.
async fn lookup(github: &GitHub, jwt: &str) -> Answer {
    ask(github, "GET", "/repos/acme/shop/installation", jwt, "").await
}

/// Asks for a token of `acme/shop`'s installation.
async fn try_mint(github: &GitHub, body: &Value) -> Answer {
    let jwt = good_jwt(github);
    let installation = lookup(github, &jwt).await.json();
    let path = format!(
        "/app/installations/{}/access_tokens",
        installation["id"].as_u64().expect("an id")
    );
    ask(github, "POST", &path, &jwt, &body.to_string()).await
}

/// A token with these permissions for `acme/shop`.
async fn mint(github: &GitHub, permissions: &Value) -> String {
    let body = json!({"repositories": ["shop"], "permissions": permissions});
    let answer = try_mint(github, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["token"].as_str().expect("a token").to_owned()
}
