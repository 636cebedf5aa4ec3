//! A probe finds what does not work for a repository, and its first workspace gets a warning.

use std::path::Path;

use hearth_api::v1::{
    AccessCheck, AccessCheckKind, AccessCheckStatus, ProbeAccessRequest, ProbeAccessResponse,
    event::Kind,
};
use tonic::{Code, Status};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{basic_auth, method, path},
};

use crate::support::{
    agent::FakeAgent,
    events::{preparing, pushed, ready, settled},
    logins::{question, try_ask},
    plane::{Plane, shop},
    refusals::fields,
    start::begin,
};

/// A registry that knows the robot, and lets it pull and push as it says.
async fn registry(pull: u16, push: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/v2/"))
        .respond_with(
            ResponseTemplate::new(401).insert_header("www-authenticate", r#"Basic realm="r""#),
        )
        .mount(&server)
        .await;
    let (robot, password) = ("robot", "planted-password");
    Mock::given(method("GET"))
        .and(basic_auth(robot, password))
        .respond_with(ResponseTemplate::new(pull))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(basic_auth(robot, password))
        .respond_with(ResponseTemplate::new(push).insert_header("location", "/upload"))
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .and(path("/upload"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    server
}

/// A control plane with the robot's password for a registry, and a git host beside it.
async fn plane(directory: &Path, registry: &MockServer, git: &MockServer) -> Plane {
    let password = directory.join("password");
    std::fs::write(&password, "planted-password\n").expect("a file");
    let hosts = format!("{},{}", registry.address(), git.address());
    let cache = registry.address().to_string();
    Plane::start(
        directory,
        &[
            "--cache-registry",
            &cache,
            "--credentials",
            "static",
            "--static-hosts",
            &hosts,
            "--static-username",
            "robot",
            "--static-password-file",
            password.to_str().expect("UTF-8"),
        ],
    )
    .await
}

async fn git_host(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/acme/shop.git/info/refs"))
        .and(basic_auth("robot", "planted-password"))
        .respond_with(ResponseTemplate::new(status))
        .mount(&server)
        .await;
    server
}

async fn probe(
    plane: &Plane,
    repository: &str,
    git_ref: &str,
) -> Result<ProbeAccessResponse, Status> {
    let request = ProbeAccessRequest {
        repository: repository.to_owned(),
        r#ref: git_ref.to_owned(),
    };
    let answer = plane.cache_service().await.probe_access(request).await?;
    Ok(answer.into_inner())
}

fn statuses(answer: &ProbeAccessResponse) -> Vec<(AccessCheckKind, AccessCheckStatus)> {
    answer
        .checks
        .iter()
        .map(|check| (check.kind(), check.status()))
        .collect()
}

#[tokio::test]
async fn a_probe_tries_each_right_and_says_what_came_of_it() {
    use AccessCheckKind as Check;
    use AccessCheckStatus as Is;
    for (pull, push, delete_status, git, expected) in [
        (200, 202, 404, 200, [Is::Ok, Is::Ok, Is::Ok, Is::Ok]),
        (404, 202, 405, 200, [Is::Ok, Is::Ok, Is::Ok, Is::Warning]),
        (
            200,
            403,
            403,
            200,
            [Is::Ok, Is::Ok, Is::Failed, Is::Warning],
        ),
        (
            503,
            202,
            404,
            404,
            [Is::Failed, Is::Failed, Is::Skipped, Is::Skipped],
        ),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let (registry, git) = (registry(pull, push).await, git_host(git).await);
        Mock::given(method("DELETE"))
            .respond_with(ResponseTemplate::new(delete_status))
            .mount(&registry)
            .await;
        let plane = plane(directory.path(), &registry, &git).await;
        let url = format!("http://{}/acme/shop", git.address());
        let answer = probe(&plane, &url, "").await.expect("an answer");
        let [git_read, pull, push, delete] = expected;
        assert_eq!(
            statuses(&answer),
            [
                (Check::Login, Is::Ok),
                (Check::Clock, Is::Skipped),
                (Check::GitRead, git_read),
                (Check::Pull, pull),
                (Check::Push, push),
                (Check::Delete, delete),
            ],
            "{answer:#?}"
        );
        let host = registry.address().to_string();
        assert!(answer.cache_repository.starts_with(&host), "{answer:#?}");
        assert!(!format!("{answer:?}").contains("planted"));

        let answer = probe(&plane, &url, "refs/pull/7/head")
            .await
            .expect("an answer");
        assert!(
            statuses(&answer).contains(&(Check::Push, Is::Skipped)),
            "{answer:#?}"
        );
        let warned = |check: &&AccessCheck| check.status() == Is::Warning;
        let no_login = answer.checks.iter().find(warned).expect("a warning");
        assert!(
            no_login.message.contains("--static-read-username"),
            "{no_login:?}"
        );
        plane.stop().await;
    }
}

#[tokio::test]
async fn a_probe_of_nonsense_names_the_fields() {
    let plane = Plane::fresh(&[]).await;
    let status = probe(&plane, "file:///etc", "-x")
        .await
        .expect_err("a refusal");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(fields(&status), ["repository", "ref"]);
    plane.stop().await;
}

#[tokio::test]
async fn the_first_workspace_of_a_repository_hears_what_does_not_work_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let (registry, git) = (registry(200, 403).await, git_host(200).await);
    let plane = plane(directory.path(), &registry, &git).await;
    let agent = FakeAgent::start("n1").await;
    let session = agent.register(&plane, &[]).await.session_token;
    let mut request = shop();
    request.spec.as_mut().expect("a spec").repository =
        format!("http://{}/acme/shop", git.address());

    let (mut first, id) = begin(&plane, &agent, request.clone()).await;
    let logins = try_ask(&plane, &session, question(&id)).await;
    assert!(logins.expect("logins").registry.is_some());
    let told = first.until(|kind| matches!(kind, Kind::Warning(_))).await;
    let heard = match told.last().and_then(|event| event.kind.clone()) {
        Some(Kind::Warning(warning)) => warning.message,
        other => panic!("{other:?}"),
    };
    assert!(heard.contains("cannot be written"), "{heard}");
    assert!(heard.contains("hearth cache probe"), "{heard}");

    let (second, id) = begin(&plane, &agent, request).await;
    try_ask(&plane, &session, question(&id))
        .await
        .expect("logins");
    agent.say(&id, 1, [preparing(), ready(), pushed(), settled()]);
    let events = second.rest().await;
    assert!(
        !events
            .iter()
            .any(|event| matches!(event.kind, Some(Kind::Warning(_)))),
        "{events:?}"
    );
    plane.stop().await;
}
