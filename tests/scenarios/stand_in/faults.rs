//! What can be wrong with GitHub, when a test wants it so.

use std::time::Duration;

use hearth_tests::{
    curl::Request,
    github::{Fault, Lie, Route, Times},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{ask, github, good_jwt, lookup, mint, try_mint};

#[tokio::test]
async fn errors_come_as_often_as_they_were_ordered_and_only_where() {
    let (github, _dir) = github().await;
    let jwt = good_jwt(&github);
    github.fail(&[Route::Lookup], Times::Next(2), Fault::Status(502));
    for status in [502, 502, 200] {
        assert_eq!(lookup(&github, &jwt).await.status, status);
    }
    github.fail(&Route::API, Times::Always, Fault::Status(500));
    for _ in 0..3 {
        assert_eq!(lookup(&github, &jwt).await.status, 500);
    }
    let url = format!(
        "{}/acme/shop/info/refs?service=git-upload-pack",
        github.url()
    );
    assert_eq!(Request::new("GET", &url).send().await.status, 401);
    github.heal();
    assert_eq!(lookup(&github, &jwt).await.status, 200);
    let statuses: Vec<_> = github.seen().iter().map(|seen| seen.status).collect();
    let expected = [502, 502, 200, 500, 500, 500, 401, 200].map(Some);
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn limits_say_how_long_to_wait() {
    let (github, _dir) = github().await;
    let jwt = good_jwt(&github);
    let wait = Duration::from_secs(1200);
    github.fail(&Route::API, Times::Next(1), Fault::PrimaryLimit(wait));
    let primary = lookup(&github, &jwt).await;
    assert_eq!(primary.status, 403);
    assert_eq!(primary.headers["x-ratelimit-remaining"], "0");
    let reset: i64 = primary.headers["x-ratelimit-reset"].parse().unwrap();
    let left = reset - super::now();
    assert!(left > 600 && left <= 1200, "{left}");
    let right = lookup(&github, &jwt).await;
    assert_ne!(right.headers["x-ratelimit-remaining"], "0");

    for status in [403, 429] {
        let retry_after = Duration::from_secs(7);
        let fault = Fault::SecondaryLimit {
            status,
            retry_after,
        };
        github.fail(&[Route::Lookup], Times::Next(1), fault);
        let secondary = lookup(&github, &jwt).await;
        assert_eq!(secondary.status, status);
        assert_eq!(secondary.headers["retry-after"], "7");
        assert_ne!(secondary.headers["x-ratelimit-remaining"], "0");
    }
}

#[tokio::test]
async fn requests_that_are_held_wait_together_and_go_on_together() {
    let (github, _dir) = github().await;
    let jwt = good_jwt(&github);
    let hold = github.hold(Route::Lookup);
    let release = async {
        github.arrived(Route::Lookup, 2).await;
        let seen = github.seen();
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().all(|seen| seen.status.is_none()));
        drop(hold);
    };
    let (one, two, ()) = tokio::join!(lookup(&github, &jwt), lookup(&github, &jwt), release);
    assert_eq!((one.status, two.status), (200, 200));
}

#[tokio::test]
async fn a_request_may_get_no_answer_or_one_that_is_none() {
    let (github, _dir) = github().await;
    let jwt = good_jwt(&github);
    github.fail(&[Route::Lookup], Times::Next(1), Fault::NotJson);
    let answer = lookup(&github, &jwt).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("<html>"));

    github.fail(&[Route::Lookup], Times::Next(1), Fault::Silence);
    let given_up = tokio::select! {
        answer = lookup(&github, &jwt) => Some(answer),
        () = github.arrived(Route::Lookup, 2) => None,
    };
    assert!(given_up.is_none(), "{given_up:?}");
    assert_eq!(github.seen()[1].status, None);
    assert_eq!(lookup(&github, &jwt).await.status, 200);
}

#[tokio::test]
async fn one_route_may_be_slow_while_others_are_not() {
    let (github, _dir) = github().await;
    let jwt = good_jwt(&github);
    github.slow(Route::Lookup, Duration::from_secs(3600));
    let others = async {
        github.arrived(Route::Lookup, 1).await;
        ask(&github, "GET", "/app", &jwt, "").await
    };
    let first = tokio::select! {
        answer = lookup(&github, &jwt) => answer,
        answer = others => answer,
    };
    assert_eq!(first.json()["slug"], "hearth");
    assert_eq!(github.seen()[0].status, None);
    github.heal();
    assert_eq!(lookup(&github, &jwt).await.status, 200);
}

#[tokio::test]
async fn an_answer_may_have_no_end() {
    let (github, _dir) = github().await;
    github.fail(&[Route::Lookup], Times::Next(1), Fault::Endless);
    let mut socket = TcpStream::connect(github.host()).await.unwrap();
    let request = format!(
        "GET /repos/acme/shop/installation HTTP/1.1\r\nHost: {}\r\n\r\n",
        github.host()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut read = vec![0; 4 * 1024 * 1024];
    socket.read_exact(&mut read).await.unwrap();
    assert!(read.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_token_may_be_another_than_was_asked_for() {
    let (github, _dir) = github().await;
    let asked = json!({"repositories": ["shop"], "permissions": {"contents": "read"}});
    let less = [("metadata", "read")].map(|(name, level)| (name.to_owned(), level.to_owned()));
    github.lie(Lie::Permissions(less.into()));
    let answer = try_mint(&github, &asked).await.json();
    assert_eq!(answer["permissions"], json!({"metadata": "read"}));
    let url = format!(
        "{}/acme/shop/info/refs?service=git-upload-pack",
        github.url()
    );
    let token = answer["token"].as_str().unwrap();
    let git = Request::new("GET", &url).login("x", token).send().await;
    assert_eq!(git.status, 404);

    github.lie(Lie::Repository("secret".to_owned()));
    let answer = try_mint(&github, &asked).await.json();
    assert_eq!(answer["repositories"][0]["name"], "secret");
    github.lie(Lie::NoToken);
    let answer = try_mint(&github, &asked).await;
    assert_eq!(answer.status, 201);
    assert!(answer.json()["token"].is_null());

    github.heal();
    let token = mint(&github, &json!({"contents": "read"})).await;
    let shop = ask(&github, "GET", "/repos/acme/shop", &token, "").await;
    assert_eq!(shop.status, 200);
}

#[tokio::test]
async fn all_tokens_can_end_at_once() {
    let (github, _dir) = github().await;
    let tokens = [
        mint(&github, &json!({"contents": "read"})).await,
        mint(&github, &json!({"packages": "read"})).await,
    ];
    github.revoke_all();
    for token in &tokens {
        let answer = ask(&github, "GET", "/repos/acme/shop", token, "").await;
        assert_eq!(answer.status, 401);
    }
}
