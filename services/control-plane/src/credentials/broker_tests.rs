use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use hearth_api::v1::CredentialProblem;
use hearth_domain::Login;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use secrecy::ExposeSecret as _;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;
use crate::credentials::settings::{Account, AppKey, GitHubAppSettings, StaticSettings};

fn fixed(directory: &Path, host: &str, password: &str) -> SourceSettings {
    let password_file = directory.join(password);
    std::fs::write(&password_file, password).expect("a write");
    let account = Account {
        username: "robot".into(),
        password_file,
        set_by: "a test".into(),
    };
    SourceSettings::Static(StaticSettings {
        hosts: vec![host.into()],
        reader: Some(account.clone()),
        account,
    })
}

fn credentials(settings: Vec<SourceSettings>) -> Credentials {
    let (tasks, metrics) = (Tasks::default(), Metrics::default());
    Credentials::new(settings, &tasks, &metrics).expect("sources")
}

fn ask<'a>(repository: &'a Repository, rights: Rights) -> Ask<'a> {
    Ask {
        repository,
        registry: Some("registry.example"),
        rights,
        refused_sha256: "",
    }
}

fn password(login: Option<&Login>) -> Option<&str> {
    login.map(|login| login.password.expose_secret())
}

#[tokio::test]
async fn the_first_source_that_has_a_host_gives_its_login() {
    let directory = tempfile::tempdir().expect("a directory");
    let credentials = credentials(vec![
        fixed(directory.path(), "git.example", "of-git"),
        fixed(directory.path(), "registry.example", "of-registry"),
        fixed(directory.path(), "git.example", "too-late"),
    ]);
    let repository = "https://git.example/a/b".parse().expect("a repository");
    let logins = credentials.logins(&ask(&repository, Rights::Write)).await;
    assert_eq!(password(logins.git.as_ref()), Some("of-git"));
    assert_eq!(password(logins.registry.as_ref()), Some("of-registry"));
    let elsewhere = "https://other.example/a/b".parse().expect("a repository");
    let logins = credentials.logins(&ask(&elsewhere, Rights::Read)).await;
    assert_eq!(password(logins.git.as_ref()), None);
    assert_eq!(password(logins.registry.as_ref()), Some("of-registry"));
    assert!(logins.problems.is_empty());
    assert_eq!(credentials.clock_skew_seconds("git.example"), None);
}

#[tokio::test]
async fn inside_a_workspace_there_is_no_login_for_the_registry() {
    let directory = tempfile::tempdir().expect("a directory");
    let credentials = credentials(vec![fixed(directory.path(), "registry.example", "secret")]);
    let repository = "https://registry.example/a/b"
        .parse()
        .expect("a repository");
    let logins = credentials
        .logins(&ask(&repository, Rights::Workspace))
        .await;
    assert!(logins.git.is_some() && logins.registry.is_none());
}

#[tokio::test]
async fn no_password_goes_where_everybody_on_the_way_could_read_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let credentials = credentials(vec![
        fixed(directory.path(), "git.example", "one"),
        fixed(directory.path(), "127.0.0.1:80", "two"),
    ]);
    for (url, given) in [
        ("https://git.example/a/b", true),
        ("ssh://git@git.example/a/b", true),
        ("http://git.example:80/a/b", false),
        ("https://127.0.0.1:80/a/b", true),
    ] {
        let repository = url.parse().expect("a repository");
        let logins = credentials.logins(&ask(&repository, Rights::Read)).await;
        assert_eq!(logins.git.is_some(), given, "{url}");
        let reasons: Vec<_> = logins
            .problems
            .iter()
            .map(CredentialProblem::reason)
            .collect();
        let expected = if given {
            vec![]
        } else {
            vec![Reason::Forbidden]
        };
        assert_eq!(reasons, expected, "{url}");
    }
}

#[tokio::test]
async fn logins_print_without_their_passwords() {
    let directory = tempfile::tempdir().expect("a directory");
    let credentials = credentials(vec![fixed(directory.path(), "git.example", "planted")]);
    let repository = "https://git.example/a/b".parse().expect("a repository");
    let logins = credentials.logins(&ask(&repository, Rights::Read)).await;
    assert_eq!(password(logins.git.as_ref()), Some("planted"));
    let printed = format!("{logins:?} {logins:#?}");
    assert!(
        printed.contains("git.example") && !printed.contains("planted"),
        "{printed}"
    );
}

#[tokio::test]
async fn the_clock_of_github_is_known_once_it_has_answered() {
    let github = MockServer::start().await;
    let ahead = SystemTime::now() + Duration::from_secs(300);
    let answer = ResponseTemplate::new(404).insert_header("date", httpdate::fmt_http_date(ahead));
    Mock::given(path("/repos/a/b/installation"))
        .respond_with(answer)
        .mount(&github)
        .await;
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let credentials = credentials(vec![SourceSettings::GitHubApp(GitHubAppSettings {
        hosts: vec!["github.com".into()],
        app_id: 7,
        key: AppKey::from_rsa_pem(key.serialize_pem().as_bytes()).expect("a key"),
        api: github.uri().parse().expect("a URL"),
    })]);
    assert_eq!(credentials.clock_skew_seconds("github.com"), None);
    let repository = "https://github.com/a/b".parse().expect("a repository");
    let logins = credentials.logins(&ask(&repository, Rights::Read)).await;
    assert_eq!(logins.problems[0].reason(), Reason::NotInstalled);
    let skew = credentials
        .clock_skew_seconds("github.com")
        .expect("a difference");
    // The date has whole seconds, and the answer was prepared before.
    assert!((200..=300).contains(&skew), "{skew}");
    assert_eq!(credentials.clock_skew_seconds("git.example"), None);
}
