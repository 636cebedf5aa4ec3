//! Tokens are made once for all attempts that need them, and cached until shortly before they expire.

use std::time::Duration;

use futures_util::future::join_all;
use hearth_domain::sha256_hex;
use hearth_tests::github::{Fault, Route, Times, Visibility};

use crate::support::{
    logins::{LoginLab, question, token, try_ask},
    soon,
};

#[tokio::test]
async fn two_hundred_who_ask_for_twenty_repositories_get_twenty_tokens() {
    let lab = LoginLab::start().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        let name = format!("acme/shop-{number}");
        lab.github.create_repository(&name, Visibility::Private);
        ids.push(lab.workspace(&name).await);
    }
    let hold = lab.github.hold(Route::Mint);
    let all = join_all((0..200).map(|number| lab.ask(&ids[number % 20])));
    let release = async {
        lab.github.arrived(Route::Mint, 20).await;
        drop(hold);
    };
    let (answers, ()) = tokio::join!(all, release);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(token(answer), token(&answers[number % 20]));
    }
    assert_eq!((lab.github.lookups(), lab.github.mints()), (20, 20));
    // The answers of a second wave are there already.
    join_all((0..200).map(|number| lab.ask(&ids[number % 20]))).await;
    assert_eq!((lab.github.lookups(), lab.github.mints()), (20, 20));
    let metrics = lab.plane.admin("/metrics").await;
    assert!(
        metrics.contains("hearth_credential_mints_total 20\n"),
        "{metrics}"
    );
    let cached = metrics
        .lines()
        .find_map(|line| line.strip_prefix("hearth_credential_cached_total "));
    let cached: u64 = cached.expect("a line").parse().expect("a number");
    assert!(cached >= 200, "{cached}");
}

#[tokio::test]
async fn spellings_of_one_repository_share_a_token() {
    let lab = LoginLab::start().await;
    let (one, other) = (
        lab.workspace("acme/shop").await,
        lab.workspace("Acme/Shop").await,
    );
    let (one, other) = (lab.ask(&one).await, lab.ask(&other).await);
    assert_eq!(token(&one), token(&other));
    assert_eq!(lab.github.mints(), 1);
}

#[tokio::test]
async fn who_goes_away_leaves_the_token_to_those_who_wait_for_it_too() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let hold = lab.github.hold(Route::Mint);
    tokio::select! {
        _ = try_ask(&lab.plane, &lab.session, question(&id)) => panic!("it is held"),
        () = lab.github.arrived(Route::Mint, 1) => {}
    }
    // The first call is dropped. Its token is what the second one gets.
    let release = async { drop(hold) };
    let (answer, ()) = tokio::join!(lab.ask(&id), release);
    token(&answer);
    assert_eq!(
        (lab.github.mints(), lab.github.requests_to(Route::Mint)),
        (1, 1)
    );
}

#[tokio::test]
async fn a_token_that_a_host_refused_is_replaced_once_however_many_say_so() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let old = token(&lab.ask(&id).await).to_owned();
    lab.github.revoke(&old);
    let refused = sha256_hex(&old).to_uppercase();
    let answers = join_all((0..20).map(|_| lab.ask_again(&id, &refused))).await;
    for answer in &answers {
        assert_ne!(token(answer), old);
        assert_eq!(token(answer), token(&answers[0]));
    }
    assert_eq!(
        token(&lab.ask_again(&id, &refused).await),
        token(&answers[0])
    );
    assert_eq!(lab.github.mints(), 2);
    // When there is no other, it is not handed out either.
    lab.github
        .fail(&[Route::Mint], Times::Always, Fault::Status(503));
    let answer = lab.ask_again(&id, &sha256_hex(token(&answers[0]))).await;
    assert!(answer.git.is_none(), "{answer:?}");
}

#[tokio::test]
async fn a_token_is_replaced_before_it_ends() {
    let lab = LoginLab::start().await;
    lab.github.token_lifetime(Duration::from_secs(2));
    let id = lab.workspace("acme/shop").await;
    let first = token(&lab.ask(&id).await).to_owned();
    let replaced = async {
        loop {
            let answer = lab.ask(&id).await;
            if token(&answer) != first {
                return;
            }
        }
    };
    soon("another token", replaced).await;
    assert_eq!(lab.github.mints(), 2);
}

#[tokio::test]
async fn a_token_that_is_still_good_is_better_than_none() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    // What lacks a permission is looked up every time, so there is a lookup that can fail.
    lab.github.grant("acme", "packages", "read");
    let first = token(&lab.ask(&id).await).to_owned();
    for fault in [
        Fault::Status(502),
        Fault::NotJson,
        Fault::PrimaryLimit(Duration::from_secs(600)),
    ] {
        lab.github.fail(&[Route::Lookup], Times::Always, fault);
        let answer = lab.ask(&id).await;
        assert_eq!(token(&answer), first);
        lab.github.heal();
    }
}

#[tokio::test]
async fn an_app_that_was_installed_anew_or_got_other_rights_is_looked_up_once_again() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let refused = |answer: &hearth_api::v1::RefreshCredentialsResponse| sha256_hex(token(answer));
    let first = lab.ask(&id).await;
    lab.github.reinstall("acme");
    let second = lab.ask_again(&id, &refused(&first)).await;
    assert_eq!(
        (lab.github.lookups(), lab.github.requests_to(Route::Mint)),
        (2, 3)
    );
    // GitHub refuses to make a token with rights that were taken back meanwhile.
    lab.github.grant("acme", "packages", "read");
    let third = lab.ask_again(&id, &refused(&second)).await;
    assert_ne!(token(&third), token(&second));
    assert_eq!(third.problems.len(), 1, "{third:?}");
    assert_eq!(
        (lab.github.lookups(), lab.github.requests_to(Route::Mint)),
        (3, 5)
    );
}
