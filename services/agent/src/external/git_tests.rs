use std::{path::PathBuf, process::Command};

use hearth_tests::GitServer;

use super::*;

fn run(dir: &Path, script: &str) {
    let status = Command::new("sh")
        .args(["-ec", script])
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.org")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.org")
        .status()
        .unwrap();
    assert!(status.success(), "{script}");
}

fn head(dir: &Path) -> String {
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(dir)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository behind a real git daemon on loopback.
struct Remote {
    dir: tempfile::TempDir,
    _server: GitServer,
    url: String,
}

impl Remote {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("repo")).unwrap();
        run(
            &dir.path().join("repo"),
            "git init -q -b main; git config uploadpack.allowFilter true; git config uploadpack.allowAnySHA1InWant true
             echo one > file; git add .; git commit -qm one; git tag v1; git checkout -q -b side
             echo two > file; git commit -qam two; git checkout -q --detach
             echo three > file; git commit -qam three; git update-ref refs/pull/12/head HEAD; git checkout -q main",
        );
        let server = GitServer::start(dir.path().to_owned());
        Self {
            url: server.url("repo"),
            _server: server,
            dir,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    async fn clone(&self, git_ref: &str) -> Result<(tempfile::TempDir, CommitHash), CloneFailure> {
        let scratch = tempfile::tempdir().unwrap();
        let commit = GitCli
            .clone_repository(
                &CloneRequest {
                    url: &self.url,
                    git_ref: &git_ref.parse().unwrap(),
                    into: &scratch.path().join("clone"),
                    scratch: scratch.path(),
                    login: None,
                },
                &mut |_| {},
            )
            .await?;
        Ok((scratch, commit))
    }
}

#[tokio::test]
async fn a_branch_a_tag_and_a_commit_lead_to_their_commit() {
    let remote = Remote::start();
    let main = head(&remote.path());
    for (git_ref, text) in [
        ("", "one\n"),
        ("v1", "one\n"),
        ("side", "two\n"),
        (main.as_str(), "one\n"),
    ] {
        let (scratch, commit) = remote.clone(git_ref).await.unwrap();
        let file = scratch.path().join("clone/file");
        assert_eq!(std::fs::read_to_string(file).unwrap(), text, "{git_ref:?}");
        assert_eq!(commit.as_str().len(), 40);
    }
}

#[tokio::test]
async fn a_full_ref_leads_to_its_commit_and_a_branch_stays_a_branch() {
    let remote = Remote::start();
    for (git_ref, text, symbolic) in [
        ("refs/pull/12/head", "three\n", "HEAD"),
        ("refs/tags/v1", "one\n", "HEAD"),
        ("refs/heads/side", "two\n", "side"),
        ("refs/heads/main", "one\n", "main"),
    ] {
        let (scratch, commit) = remote.clone(git_ref).await.unwrap();
        let clone = scratch.path().join("clone");
        assert_eq!(
            std::fs::read_to_string(clone.join("file")).unwrap(),
            text,
            "{git_ref}"
        );
        assert_eq!(commit.as_str(), head(&clone), "{git_ref}");
        let output = Command::new("git")
            .args(["rev-parse", "--abbrev-ref", "HEAD"])
            .current_dir(&clone)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), symbolic);
    }
}

#[tokio::test]
async fn a_ref_that_does_not_exist_is_told_apart_from_a_repository_that_cannot_be_reached() {
    let remote = Remote::start();
    for git_ref in [
        "nowhere",
        "refs/pull/13/head",
        "0123456789012345678901234567890123456789",
    ] {
        let failure = remote.clone(git_ref).await.unwrap_err();
        assert!(
            matches!(&failure, CloneFailure::RefNotFound(f) if f.tail.contains(git_ref)),
            "{failure:?}"
        );
    }
    let scratch = tempfile::tempdir().unwrap();
    let request = CloneRequest {
        url: "git://127.0.0.1:1/repo",
        git_ref: &GitRef::Default,
        into: &scratch.path().join("clone"),
        scratch: scratch.path(),
        login: None,
    };
    let failure = GitCli
        .clone_repository(&request, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(&failure, CloneFailure::Failed(f) if f.tail.contains("Connection refused")),
        "{failure:?}"
    );
}

#[test]
fn a_login_is_for_one_repository_and_for_no_other_on_its_host() {
    let login = Login {
        host: "git.example".into(),
        username: "x-access-token".into(),
        password: "planted".into(),
        expires: None,
    };
    let names = |url: &str| -> Vec<String> {
        let headers = headers(&login, url);
        assert!(
            headers
                .iter()
                .all(|(_, value)| value.starts_with("Authorization: Basic "))
        );
        headers.into_iter().map(|(name, _)| name).collect()
    };
    let both = [
        "http.https://git.example/a/b.extraHeader",
        "http.https://git.example/a/b.git.extraHeader",
    ];
    assert_eq!(names("https://git.example/a/b"), both);
    assert_eq!(names("https://git.example/a/b.git"), both);
    for other in [
        "https://git.example.evil.org/a",
        "https://git.example:444/a",
        "ssh://git@git.example/a",
        "git://git.example/a",
        "",
    ] {
        assert!(names(other).is_empty(), "{other}");
    }
    assert!(!format!("{login:?}").contains("planted"));
}

#[test]
fn a_refused_login_is_told_apart_from_a_missing_ref_and_from_a_broken_network() {
    let reading = |tail: &str| {
        classify(ProcessFailure {
            message: String::new(),
            tail: tail.to_owned(),
        })
    };
    for refused in [
        "fatal: Authentication failed for 'https://git.example/a/b/'",
        "fatal: unable to access 'https://git.example/a/b/': The requested URL returned error: 403",
        "fatal: could not read Username for 'https://git.example': terminal prompts disabled",
    ] {
        assert!(
            matches!(reading(refused), CloneFailure::LoginRefused(_)),
            "{refused}"
        );
    }
    let broken = "fatal: unable to access 'https://git.example/': Could not resolve host";
    assert!(matches!(reading(broken), CloneFailure::Failed(_)));
    let missing = "fatal: couldn't find remote ref refs/pull/1/head";
    assert!(matches!(reading(missing), CloneFailure::RefNotFound(_)));
}
