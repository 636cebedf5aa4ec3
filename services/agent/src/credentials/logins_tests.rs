use secrecy::ExposeSecret as _;

use super::*;
use crate::credentials::fake::{Answer, FakeCredentials, attempt, logins, no_logins, with_problem};

/// Logins from `credentials`, and what they warn of.
fn asking(credentials: &Arc<FakeCredentials>) -> (Logins, Arc<Mutex<Vec<String>>>) {
    let warned = Arc::<Mutex<Vec<String>>>::default();
    let logins = Logins::new(credentials.clone(), attempt(), LoginPurpose::Attempt, {
        let warned = warned.clone();
        move |why| warned.lock().push(why)
    });
    (logins, warned)
}

async fn git(logins: &Logins) -> Option<String> {
    let login = logins.git().await?;
    Some(login.password.expose_secret().to_owned())
}

fn password(text: &str) -> SecretString {
    text.to_owned().into()
}

#[tokio::test(start_paused = true)]
async fn however_many_need_a_login_the_control_plane_is_asked_once() {
    let credentials = FakeCredentials::answering([logins("one", Some(3600))]);
    let (logins, _) = asking(&credentials);
    let (first, second, registry) = tokio::join!(git(&logins), git(&logins), logins.registry());
    assert_eq!(
        (first.as_deref(), second.as_deref()),
        (Some("one"), Some("one"))
    );
    assert_eq!(registry.unwrap().host, "registry.example");
    assert_eq!(git(&logins).await.as_deref(), Some("one"));
    assert_eq!(credentials.questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_holds_up_nobody() {
    let credentials = FakeCredentials::answering([logins("one", None)]);
    let (logins, _) = asking(&credentials);
    // It asks, is called off, and is never awaited again.
    let asked = git(&logins).now_or_never();
    assert_eq!((asked, credentials.questions()), (None, 1));
    assert_eq!(git(&logins).await.as_deref(), Some("one"));
    assert_eq!(credentials.questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_is_replaced_five_minutes_before_it_ends_and_a_short_one_at_half_its_life() {
    for (life, kept, replaced) in [(3600, 3290, 20), (60, 25, 10)] {
        let credentials =
            FakeCredentials::answering([logins("old", Some(life)), logins("new", None)]);
        let (logins, _) = asking(&credentials);
        assert_eq!(git(&logins).await.as_deref(), Some("old"));
        tokio::time::advance(Duration::from_secs(kept)).await;
        assert_eq!(git(&logins).await.as_deref(), Some("old"), "{life}");
        tokio::time::advance(Duration::from_secs(replaced)).await;
        assert_eq!(git(&logins).await.as_deref(), Some("new"), "{life}");
        tokio::time::advance(Duration::from_secs(1_000_000)).await;
        assert_eq!(
            git(&logins).await.as_deref(),
            Some("new"),
            "it does not end"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_does_not_answer_is_gone_on_without_and_asked_again_later() {
    for answer in [Answer::Silence, Answer::Failure] {
        let credentials = FakeCredentials::answering([answer.clone(), answer, logins("one", None)]);
        let (logins, warned) = asking(&credentials);
        assert_eq!(git(&logins).await, None);
        assert!(logins.registry().await.is_none());
        assert_eq!(credentials.questions(), 1, "nobody waits again at once");
        assert!(
            logins
                .problem("git.example")
                .unwrap()
                .contains("control plane")
        );
        tokio::time::advance(RETRY_PAUSE).await;
        assert_eq!(git(&logins).await, None);
        tokio::time::advance(RETRY_PAUSE).await;
        assert_eq!(git(&logins).await.as_deref(), Some("one"));
        assert_eq!(logins.problem("git.example"), None);
        let warned = warned.lock();
        assert_eq!(warned.len(), 1, "told once: {warned:?}");
        assert!(warned[0].ends_with("going on without"), "{warned:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_lives_is_used_while_no_other_one_can_be_had_and_not_longer() {
    let credentials =
        FakeCredentials::answering([logins("old", Some(600)), Answer::Failure, Answer::Failure]);
    let (logins, _) = asking(&credentials);
    assert_eq!(git(&logins).await.as_deref(), Some("old"));
    tokio::time::advance(Duration::from_secs(400)).await;
    assert_eq!(git(&logins).await.as_deref(), Some("old"));
    assert_eq!(credentials.questions(), 2, "it was asked for another one");
    tokio::time::advance(Duration::from_secs(300)).await;
    assert_eq!(git(&logins).await, None, "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_problem_is_told_once_and_what_is_missing_is_asked_for_when_it_is_needed_later() {
    let missing = || with_problem(no_logins(), "git.example", false);
    let credentials = FakeCredentials::answering([missing(), missing(), logins("one", None)]);
    let (logins, warned) = asking(&credentials);
    for _ in 0..2 {
        assert_eq!(git(&logins).await, None);
        assert_eq!(git(&logins).await, None);
        assert_eq!(
            logins.problem("git.example").as_deref(),
            Some("what to do about git.example")
        );
        assert_eq!(logins.problem("registry.example"), None);
        tokio::time::advance(RETRY_PAUSE).await;
    }
    assert_eq!(git(&logins).await.as_deref(), Some("one"));
    assert_eq!(*warned.lock(), ["what to do about git.example"]);
    assert_eq!(credentials.questions(), 3);
}

#[tokio::test(start_paused = true)]
async fn where_no_login_is_configured_nobody_asks_all_the_time() {
    let credentials = FakeCredentials::answering([no_logins(), no_logins()]);
    let (logins, warned) = asking(&credentials);
    for _ in 0..9 {
        assert_eq!(git(&logins).await, None);
        tokio::time::advance(RETRY_PAUSE).await;
    }
    assert_eq!(credentials.questions(), 1);
    tokio::time::advance(Duration::from_secs(300)).await;
    assert_eq!(git(&logins).await, None);
    assert_eq!(credentials.questions(), 2);
    assert!(warned.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_named_by_its_digest_once_and_replaced() {
    let credentials = FakeCredentials::answering([logins("old", None), logins("new", None)]);
    let (logins, _) = asking(&credentials);
    git(&logins).await;
    let old = password("old");
    let (one, other) = tokio::join!(logins.git_instead_of(&old), logins.git_instead_of(&old));
    assert!(
        one.is_some() && other.is_some(),
        "both wait for the one answer"
    );
    assert_eq!(git(&logins).await.as_deref(), Some("new"));
    // printf old | sha256sum
    let digest = "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4";
    assert_eq!(credentials.refused(), ["", digest]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_everything_does_not_make_logins_all_the_time() {
    let credentials = FakeCredentials::answering([logins("a", None), logins("b", None)]);
    let (logins, _) = asking(&credentials);
    git(&logins).await;
    assert!(logins.git_instead_of(&password("a")).await.is_some());
    assert!(logins.git_instead_of(&password("b")).await.is_none());
    assert_eq!(credentials.questions(), 2);
    tokio::time::advance(Duration::from_secs(31)).await;
    credentials.then(super::super::fake::logins("b", None));
    assert!(
        logins.git_instead_of(&password("b")).await.is_none(),
        "the same password is no other one"
    );
    assert_eq!(credentials.questions(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_ended_by_itself_is_not_called_refused() {
    let credentials = FakeCredentials::answering([logins("old", Some(60)), logins("new", None)]);
    let (logins, _) = asking(&credentials);
    git(&logins).await;
    tokio::time::advance(Duration::from_secs(61)).await;
    let other = logins.registry_instead_of(&password("old")).await;
    assert_eq!(other.unwrap().password.expose_secret(), "new");
    assert_eq!(credentials.refused(), ["", ""]);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_known_beside_a_login_that_works() {
    let answer = with_problem(logins("one", None), "registry.example", true);
    let (logins, _) = asking(&FakeCredentials::answering([answer]));
    assert_eq!(git(&logins).await.as_deref(), Some("one"));
    assert!(logins.missing_permission("registry.example").is_some());
    assert_eq!(logins.missing_permission("git.example"), None);
}

#[tokio::test(start_paused = true)]
async fn the_registrys_login_is_for_images_of_that_registry_alone() {
    let (logins, _) = asking(&FakeCredentials::answering([logins("one", None)]));
    assert!(logins.for_image("registry.example/a/b:1").await.is_some());
    for other in [
        "registry.example.org/a",
        "docker.io/registry.example/a",
        "debian:12",
    ] {
        assert!(logins.for_image(other).await.is_none(), "{other}");
    }
}
