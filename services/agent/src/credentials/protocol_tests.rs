use std::sync::Arc;

use super::*;
use crate::credentials::fake::{Answer, FakeCredentials, attempt, logins};
use crate::external::control_plane::LoginPurpose;

fn remote(url: &str) -> GitRemote {
    GitRemote::of(&url.parse().unwrap()).unwrap()
}

fn answering(answers: impl IntoIterator<Item = Answer>) -> (Logins, Arc<FakeCredentials>) {
    let credentials = FakeCredentials::answering(answers);
    let logins = Logins::new(
        credentials.clone(),
        attempt(),
        LoginPurpose::Workspace,
        |_| {},
    );
    (logins, credentials)
}

fn about(protocol: &str, host: &str, path: &str) -> String {
    format!("protocol={protocol}\nhost={host}\npath={path}\n")
}

#[tokio::test(start_paused = true)]
async fn git_gets_the_login_of_its_own_repository_and_nothing_else_is_even_asked_for() {
    let (logins, credentials) = answering([logins("secret", Some(3600))]);
    let protocol = Protocol::Git(remote("https://git.example/a/b"));
    for other in [
        format!("git get\n{}", about("https", "git.example", "a/c")),
        "docker get\nregistry.example".to_owned(),
        "git store\nprotocol=https\n".to_owned(),
        String::new(),
        "\n".to_owned(),
    ] {
        assert_eq!(protocol.answer(&logins, &other).await, None, "{other}");
    }
    assert_eq!(credentials.questions(), 0);
    let own = format!("git get\n{}", about("https", "git.example", "a/b.git"));
    let answer = protocol.answer(&logins, &own).await.unwrap();
    assert!(answer.starts_with("username=x-access-token\npassword=secret\npassword_expiry_utc="));
    assert_eq!(answer.lines().count(), 3, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_login_with_a_line_break_is_not_printed() {
    let (logins, _) = answering([logins("one\nhost=evil.example", None)]);
    let protocol = Protocol::Git(remote("https://git.example/a/b"));
    let own = format!("git get\n{}", about("https", "git.example", "a/b"));
    assert_eq!(protocol.answer(&logins, &own).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_git_erases_is_refused_if_it_is_the_one_that_was_given_out() {
    let (logins, credentials) = answering([logins("old", None), logins("new", None)]);
    let protocol = Protocol::Git(remote("https://git.example/a/b"));
    let own = about("https", "git.example", "a/b");
    for (password, questions) in [("made up", 1), ("old", 2), ("old", 2)] {
        let erase = format!("git erase\n{own}username=x\npassword={password}\n");
        assert_eq!(protocol.answer(&logins, &erase).await, None);
        assert_eq!(credentials.questions(), questions, "{password}");
    }
    let answer = protocol.answer(&logins, &format!("git get\n{own}")).await;
    assert!(answer.unwrap().contains("password=new\n"));
}

#[tokio::test(start_paused = true)]
async fn docker_gets_the_login_of_the_caches_registry_alone() {
    let (logins, _) = answering([logins("sec\"ret", None)]);
    for server in ["registry.example", "https://registry.example"] {
        let question = format!("docker get\n{server}\n");
        let answer = Protocol::Docker.answer(&logins, &question).await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["Username"], "x-access-token");
        assert_eq!(answer["Secret"], "sec\"ret");
    }
    for question in ["docker get\nother.example", "docker get\n", "git get\n"] {
        assert_eq!(
            Protocol::Docker.answer(&logins, question).await,
            None,
            "{question}"
        );
    }
}
