//! Each way in which GitHub refuses a token has its own reason, and is reported soon.

use std::{collections::BTreeMap, time::Duration};

use hearth_api::v1::CredentialProblemReason as Reason;
use hearth_tests::github::{Fault, GitHub, Lie, Repositories, Route, Times, Visibility, WRITER};

use crate::support::{
    logins::{LoginLab, token},
    soon,
};

type Spoil = fn(&LoginLab);

#[tokio::test]
async fn each_failure_has_its_word_and_the_next_try_works_when_it_is_over() {
    let table: [(Reason, Spoil); 16] = [
        (Reason::NotInstalled, |lab| lab.github.uninstall("acme")),
        (Reason::NotInstalled, |lab| {
            lab.github
                .select("acme", Repositories::selected(&["other"]));
        }),
        (Reason::Forbidden, |lab| lab.github.suspend("acme")),
        (Reason::Forbidden, |lab| {
            lab.github
                .fail(&[Route::Mint], Times::Always, Fault::Status(403));
        }),
        (Reason::PermissionMissing, |lab| {
            lab.github.grant("acme", "metadata", "none");
        }),
        (Reason::KeyRefused, |lab| {
            lab.github
                .fail(&[Route::Lookup], Times::Always, Fault::Status(401));
        }),
        (Reason::ClockSkew, |lab| lab.github.set_clock_offset(-300)),
        (Reason::ClockSkew, |lab| lab.github.set_clock_offset(3600)),
        (Reason::Unreachable, |lab| {
            lab.github
                .fail(&[Route::Lookup], Times::Always, Fault::Status(500));
        }),
        (Reason::Unreachable, |lab| {
            lab.github
                .fail(&[Route::Mint], Times::Always, Fault::Status(502));
        }),
        (Reason::Unexpected, |lab| {
            lab.github
                .fail(&[Route::Lookup], Times::Always, Fault::NotJson);
        }),
        (Reason::Unexpected, |lab| {
            lab.github
                .fail(&[Route::Mint], Times::Always, Fault::Endless);
        }),
        (Reason::Unexpected, |lab| {
            let all = [
                ("contents", "write"),
                ("metadata", "read"),
                ("packages", "write"),
            ];
            let all = all.map(|(name, level)| (name.to_owned(), level.to_owned()));
            lab.github.lie(Lie::Permissions(BTreeMap::from(all)));
        }),
        (Reason::Unexpected, |lab| {
            lab.github
                .create_repository("acme/other", Visibility::Private);
            lab.github.lie(Lie::Repository("other".into()));
        }),
        (Reason::Unexpected, |lab| lab.github.lie(Lie::NoToken)),
        (Reason::Unexpected, |lab| {
            lab.github
                .fail(&[Route::Mint], Times::Always, Fault::Status(422));
        }),
    ];
    for (number, (reason, spoil)) in table.into_iter().enumerate() {
        let lab = LoginLab::start().await;
        let id = lab.workspace("acme/shop").await;
        spoil(&lab);
        assert_eq!(lab.reason(&id).await, reason, "{number}");
        let metrics = lab.plane.admin("/metrics").await;
        let counted = format!(
            "hearth_credential_problems_total{{reason=\"{}\"}} 2",
            reason
                .as_str_name()
                .trim_start_matches("CREDENTIAL_PROBLEM_REASON_")
        );
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
        if number == 0 {
            lab.github.install("acme", Repositories::All, &WRITER);
        }
        lab.github.heal();
        lab.github.set_clock_offset(0);
        lab.github.grant("acme", "metadata", "read");
        lab.github.unsuspend("acme");
        lab.github.select("acme", Repositories::All);
        token(&lab.ask(&id).await);
    }
}

#[tokio::test]
async fn a_clock_that_differs_is_told_with_its_seconds_and_direction() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    lab.github.set_clock_offset(-300);
    let message = lab.ask(&id).await.problems.remove(0).message;
    let (before, _) = message
        .split_once(" seconds ahead of GitHub's")
        .unwrap_or_else(|| panic!("{message}"));
    let seconds = before.rsplit(' ').next().unwrap_or_default();
    // The date is of the moment in which GitHub began to answer.
    assert!(
        (299..360).contains(&seconds.parse().expect("a number")),
        "{message}"
    );
    // Half a minute is within the tolerance.
    lab.github.set_clock_offset(-30);
    token(&lab.ask(&id).await);
}

#[tokio::test]
async fn what_goes_wrong_once_is_tried_again() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    lab.github
        .fail(&[Route::Lookup], Times::Next(2), Fault::Status(500));
    lab.github
        .fail(&[Route::Mint], Times::Next(1), Fault::Status(503));
    token(&lab.ask(&id).await);
    assert_eq!((lab.github.lookups(), lab.github.mints()), (3, 1));
}

#[tokio::test]
async fn a_github_that_never_answers_is_given_up_on() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    lab.github
        .fail(&[Route::Lookup], Times::Always, Fault::Silence);
    assert_eq!(lab.reason(&id).await, Reason::Unreachable);
}

#[tokio::test]
async fn a_github_that_is_not_there_is_unreachable() {
    let LoginLab {
        github,
        plane,
        agent,
        session,
        directory,
    } = LoginLab::start().await;
    let elsewhere = GitHub::start(directory.path().join("other")).await;
    let lab = LoginLab {
        github: elsewhere,
        plane,
        agent,
        session,
        directory,
    };
    let mut request = lab.request("acme/shop");
    request.spec.as_mut().expect("a spec").repository = github.clone_url("acme/shop");
    let id = lab.plane.prepare(request).await.id().to_owned();
    drop(github);
    let answer = lab.ask(&id).await;
    assert!(answer.git.is_none());
    assert_eq!(answer.problems[0].reason(), Reason::Unreachable);
}

#[tokio::test]
async fn nobody_asks_a_github_that_wants_fewer_requests() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    let limits = [
        Fault::PrimaryLimit(Duration::from_secs(90)),
        Fault::SecondaryLimit {
            status: 429,
            retry_after: Duration::from_secs(90),
        },
        Fault::SecondaryLimit {
            status: 403,
            retry_after: Duration::from_secs(90),
        },
    ];
    for limit in limits {
        let lab = LoginLab::start().await;
        let id = lab.workspace("acme/shop").await;
        lab.github.fail(&[Route::Lookup], Times::Next(1), limit);
        for _ in 0..3 {
            assert_eq!(lab.reason(&id).await, Reason::RateLimited);
        }
        let message = lab.ask(&id).await.problems.remove(0).message;
        assert!(message.contains(" seconds"), "{message}");
        assert_eq!(lab.github.seen().len(), 1, "the first request was the last");
    }
    // One that ends soon is waited for.
    let limit = Fault::SecondaryLimit {
        status: 429,
        retry_after: Duration::from_secs(1),
    };
    lab.github.fail(&[Route::Lookup], Times::Next(1), limit);
    token(&soon("a token", lab.ask(&id)).await);
    assert_eq!(lab.github.lookups(), 2);
}
