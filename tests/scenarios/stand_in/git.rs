//! Git over HTTP.

use std::{path::Path, process::Output};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_tests::{
    GitHub,
    curl::Request,
    github::{Repositories, Visibility},
};
use serde_json::json;

use super::{github, mint};

/// Runs git with a login in its environment, or with none.
async fn git(dir: &Path, password: Option<&str>, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new("git");
    command
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    if let Some(password) = password {
        let login = STANDARD.encode(format!("x-access-token:{password}"));
        command
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "http.extraHeader")
            .env(
                "GIT_CONFIG_VALUE_0",
                format!("Authorization: Basic {login}"),
            );
    }
    command.output().await.expect("git")
}

/// Clones, and says what was in the way.
async fn clone(github: &GitHub, repository: &str, password: Option<&str>) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let url = github.clone_url(repository);
    let args = ["clone", "--quiet", "--filter=blob:none", &url, "clone"];
    let output = git(dir.path(), password, &args).await;
    if output.status.success() {
        let text = std::fs::read_to_string(dir.path().join("clone/README")).unwrap();
        assert_eq!(text, "hello\n");
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Status of git's first request.
async fn knock(github: &GitHub, repository: &str, password: Option<&str>, service: &str) -> u16 {
    let url = format!(
        "{}/info/refs?service={service}",
        github.clone_url(repository)
    );
    let mut request = Request::new("GET", &url);
    if let Some(password) = password {
        request = request.login("x-access-token", password);
    }
    request.send().await.status
}

#[tokio::test]
async fn a_private_repository_is_cloned_with_a_token_for_its_contents_and_with_nothing_else() {
    let (github, _dir) = github().await;
    let token = mint(&github, &json!({"contents": "read"})).await;
    assert_eq!(clone(&github, "acme/shop", Some(&token)).await, Ok(()));
    assert_eq!(clone(&github, "Acme/Shop.git", Some(&token)).await, Ok(()));

    let packages = mint(&github, &json!({"packages": "write"})).await;
    for (repository, password, status) in [
        ("acme/shop", None, 401),
        ("acme/shop", Some("ghs_wrong"), 401),
        ("acme/shop", Some(packages.as_str()), 404),
        ("acme/secret", Some(token.as_str()), 404),
        ("acme/nothing", Some(token.as_str()), 404),
        ("acme/nothing", None, 401),
    ] {
        let error = clone(&github, repository, password).await;
        assert!(error.is_err(), "{repository} {password:?}");
        let answer = knock(&github, repository, password, "git-upload-pack").await;
        assert_eq!(answer, status, "{repository} {password:?}: {error:?}");
    }
}

#[tokio::test]
async fn who_is_asked_for_a_login_is_told_for_what() {
    let (github, _dir) = github().await;
    let url = format!(
        "{}/info/refs?service=git-upload-pack",
        github.clone_url("acme/shop")
    );
    let answer = Request::new("GET", &url).send().await;
    assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"GitHub\"");
    let old = Request::new("GET", &url.replace("?service=git-upload-pack", ""));
    assert_eq!(old.send().await.status, 403);
}

#[tokio::test]
async fn a_token_that_ended_clones_no_more() {
    let (github, _dir) = github().await;
    let token = mint(&github, &json!({"contents": "read"})).await;
    github.set_clock_offset(3601);
    assert!(clone(&github, "acme/shop", Some(&token)).await.is_err());
    github.set_clock_offset(0);
    assert_eq!(clone(&github, "acme/shop", Some(&token)).await, Ok(()));
    github.suspend("acme");
    assert!(clone(&github, "acme/shop", Some(&token)).await.is_err());
    github.unsuspend("acme");
    github.select("acme", Repositories::selected(&["secret"]));
    assert!(clone(&github, "acme/shop", Some(&token)).await.is_err());
}

#[tokio::test]
async fn a_public_repository_is_cloned_by_everybody_but_not_with_a_wrong_login() {
    let (github, _dir) = github().await;
    let token = mint(&github, &json!({"contents": "read"})).await;
    github.set_visibility("acme/secret", Visibility::Public);
    assert_eq!(clone(&github, "acme/secret", None).await, Ok(()));
    assert_eq!(clone(&github, "acme/secret", Some(&token)).await, Ok(()));
    assert!(clone(&github, "acme/secret", Some("ghs_no")).await.is_err());
    let pushes = knock(&github, "acme/secret", None, "git-receive-pack").await;
    assert_eq!(pushes, 401);
}

#[tokio::test]
async fn a_push_needs_the_right_to_write_contents() {
    let (github, _dir) = github().await;
    github.grant("acme", "contents", "write");
    let reader = mint(&github, &json!({"contents": "read"})).await;
    let writer = mint(&github, &json!({"contents": "write"})).await;
    let dir = tempfile::tempdir().unwrap();
    let url = github.clone_url("acme/shop");
    let cloned = git(dir.path(), Some(&reader), &["clone", "--quiet", &url, "."]).await;
    assert!(cloned.status.success());
    let push = ["push", "--quiet", "origin", "HEAD:refs/heads/mine"];
    assert!(!git(dir.path(), Some(&reader), &push).await.status.success());
    assert!(git(dir.path(), Some(&writer), &push).await.status.success());
    let mine = github.git("acme/shop", &["rev-parse", "mine"]);
    assert_eq!(mine, github.git("acme/shop", &["rev-parse", "main"]));
}

/// Git compresses a request that is longer than a kilobyte, and sends one in pieces that is longer than a megabyte.
#[tokio::test]
async fn long_requests_and_long_answers_come_through_whole() {
    let (github, _dir) = github().await;
    github.grant("acme", "contents", "write");
    let token = mint(&github, &json!({"contents": "write"})).await;
    let url = github.clone_url("acme/shop");
    let dir = tempfile::tempdir().unwrap();
    let run = async |args: &[&str]| {
        let output = git(dir.path(), Some(&token), args).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {said}");
    };
    run(&["clone", "--quiet", &url, "."]).await;
    // Random, so that no compression makes it small.
    let noise: String = (0..40_000)
        .map(|_| uuid::Uuid::new_v4().to_string())
        .collect();
    std::fs::write(dir.path().join("noise"), &noise).unwrap();
    run(&["add", "noise"]).await;
    let me = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    run(&[&me[..], &["commit", "--quiet", "--message", "noise"]].concat()).await;
    run(&["push", "--quiet", "origin", "main"]).await;

    for number in 0..60 {
        let number = number.to_string();
        let tree = ["commit-tree", "main^{tree}", "-m", &number];
        let commit = github.git("acme/shop", &tree);
        let branch = format!("refs/heads/b{number}");
        github.git("acme/shop", &["update-ref", &branch, &commit]);
    }
    let other = tempfile::tempdir().unwrap();
    let fetched = git(other.path(), Some(&token), &["clone", "--quiet", &url, "."]).await;
    assert!(fetched.status.success());
    let text = std::fs::read_to_string(other.path().join("noise")).unwrap();
    assert!(text == noise, "the file came back another");
    let heads = git(other.path(), None, &["for-each-ref", "refs/remotes/origin"]).await;
    let heads = String::from_utf8_lossy(&heads.stdout).lines().count();
    assert!(heads >= 61, "{heads}");
}
