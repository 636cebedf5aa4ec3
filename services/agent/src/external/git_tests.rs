#[path = "git_configs_tests.rs"]
mod configs;
#[path = "git_submodule_tests.rs"]
mod submodules;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hearth_domain::{GitOptions, Login};
use hearth_tests::GitServer;

use super::{command::headers, *};

const SUBMODULES_WITHIN: Duration = Duration::from_secs(60);

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
pub(super) struct Remote {
    dir: tempfile::TempDir,
    _server: GitServer,
    url: String,
}

impl Remote {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("repo")).unwrap();
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

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    async fn clone(&self, git_ref: &str) -> Result<(tempfile::TempDir, CommitHash), CloneFailure> {
        let (scratch, clone) = clone(&GitCli::default(), &self.url, git_ref).await?;
        assert_eq!(clone.warnings, [""; 0]);
        Ok((scratch, clone.commit.expect("a commit")))
    }

    /// Another repository on the same server.
    pub(super) fn repo(&self, name: &str, script: &str) -> String {
        let path = self.dir.path().join(name);
        fs::create_dir(&path).unwrap();
        run(
            &path,
            &format!(
                "git init -q -b main; git config uploadpack.allowFilter true
                 git config uploadpack.allowAnySHA1InWant true; {script}"
            ),
        );
        self._server.url(name)
    }
}

pub(super) async fn clone(
    git: &GitCli,
    url: &str,
    git_ref: &str,
) -> Result<(tempfile::TempDir, GitClone), CloneFailure> {
    let scratch = tempfile::tempdir().unwrap();
    let clone = git
        .clone_repository(
            &CloneRequest {
                url,
                git_ref: &git_ref.parse().unwrap(),
                into: &scratch.path().join("clone"),
                scratch: scratch.path(),
                login: None,
                submodules_within: SUBMODULES_WITHIN,
                options: &GitOptions::default(),
            },
            &mut |_| {},
        )
        .await?;
    Ok((scratch, clone))
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
        assert_eq!(fs::read_to_string(file).unwrap(), text, "{git_ref:?}");
        assert_eq!(commit.as_str().len(), 40);
    }
}

#[tokio::test]
async fn a_clone_tells_the_default_branch_from_others_and_branches_from_tags() {
    let remote = Remote::start();
    let main = head(&remote.path());
    // A branch and a tag of one name: git takes the branch.
    run(&remote.path(), "git tag side; git branch main-2");
    for (git_ref, at) in [
        ("", At::DefaultBranch),
        ("main", At::DefaultBranch),
        ("refs/heads/main", At::DefaultBranch),
        ("side", At::Branch),
        ("main-2", At::Branch),
        ("refs/heads/side", At::Branch),
        ("v1", At::Detached),
        ("refs/tags/v1", At::Detached),
        ("refs/tags/side", At::Detached),
        ("refs/pull/12/head", At::Detached),
        (main.as_str(), At::Detached),
    ] {
        let cloned = clone(&GitCli::default(), &remote.url, git_ref).await;
        assert_eq!(cloned.unwrap().1.at, at, "{git_ref:?}");
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
            fs::read_to_string(clone.join("file")).unwrap(),
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
        "refs/heads/nowhere",
        "refs/pull/13/head",
        "0123456789012345678901234567890123456789",
    ] {
        let failure = remote.clone(git_ref).await.unwrap_err();
        let CloneFailure::RefNotFound(told, names) = &failure else {
            panic!("{failure:?}")
        };
        let name = git_ref.trim_start_matches("refs/heads/");
        assert!(told.message.contains(name), "{failure:?}");
        assert!(names.contains(&"side".to_owned()), "{failure:?}");
    }
    for (url, message) in [
        (
            "git://127.0.0.1:1/repo".to_owned(),
            "unable to connect to 127.0.0.1: Connection refused",
        ),
        (
            remote._server.url("missing"),
            "remote error: access denied or repository not exported: /missing",
        ),
    ] {
        let failure = clone(&GitCli::default(), &url, "").await.unwrap_err();
        assert!(
            matches!(&failure, CloneFailure::Failed(told) if told.message == message && advice(told).is_some()),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_repository_without_a_commit_is_a_clone_on_the_branch_that_is_asked_for() {
    let remote = Remote::start();
    let empty = remote.repo("empty", "git symbolic-ref HEAD refs/heads/trunk");
    for (git_ref, branch) in [("", "trunk"), ("main", "main"), ("refs/heads/a/b", "a/b")] {
        let (scratch, made) = clone(&GitCli::default(), &empty, git_ref).await.unwrap();
        assert_eq!(made.commit, None, "{git_ref}");
        assert!(made.warnings[0].contains("has no commit yet"), "{made:?}");
        let folder = scratch.path().join("clone");
        run(
            &folder,
            &format!(
                "echo x > f; git add f; git commit -qm first; test $(git symbolic-ref --short HEAD) = {branch}"
            ),
        );
    }
    for git_ref in ["refs/tags/v1", "0123456789012345678901234567890123456789"] {
        let failure = clone(&GitCli::default(), &empty, git_ref)
            .await
            .unwrap_err();
        assert!(
            matches!(failure, CloneFailure::RefNotFound(..)),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_default_branch_that_does_not_exist_keeps_no_workspace_from_starting() {
    let remote = Remote::start();
    let commit = "echo x > f; git add f; git commit -qm one; git symbolic-ref HEAD refs/heads/gone";
    let one = remote.repo("one", commit);
    let (scratch, made) = clone(&GitCli::default(), &one, "").await.unwrap();
    assert!(made.commit.is_some() && scratch.path().join("clone/f").exists());
    assert!(made.warnings[0].contains("gone"), "{made:?}");
    let several = remote.repo("several", &format!("{commit}; git branch other main"));
    let (scratch, made) = clone(&GitCli::default(), &several, "").await.unwrap();
    assert_eq!(made.commit, None);
    assert!(scratch.path().join("clone/.git").exists());
    assert!(made.warnings[0].contains("main, other"), "{made:?}");
    let detached = remote.repo(
        "detached",
        "echo x > f; git add f; git commit -qm one; git checkout -q --detach; echo y > f; git commit -qam two",
    );
    let (scratch, made) = clone(&GitCli::default(), &detached, "").await.unwrap();
    assert_eq!(made.warnings, [""; 0]);
    assert_eq!(
        fs::read_to_string(scratch.path().join("clone/f")).unwrap(),
        "y\n"
    );
}

#[tokio::test]
async fn a_file_that_the_node_cannot_have_keeps_it_from_no_other() {
    let remote = Remote::start();
    let script = "blob=$(echo hi | git hash-object -w --stdin); long=$(printf 'a%.0s' $(seq 300))
         printf \"100644 $blob 0\\tzz\\n100644 $blob 0\\taa\\n100644 $blob 0\\t$long\\n\" | git update-index --index-info
         git commit -qm x";
    let url = remote.repo("long", script);
    let long = head(&remote.dir.path().join("long"));
    let super_url = remote.repo(
        "super-long",
        &format!(
            "printf '[submodule \"s\"]\n\tpath = s\n\turl = ../long\n' > .gitmodules; git add .gitmodules
             git update-index --add --cacheinfo 160000,{long},s; git commit -qm x"
        ),
    );
    for (url, git_ref, inside) in [
        (&url, "", ""),
        (&url, "refs/heads/main", ""),
        (&super_url, "", "s/"),
    ] {
        let (scratch, made) = clone(&GitCli::default(), url, git_ref).await.unwrap();
        let folder = scratch.path().join("clone").join(inside);
        assert!(
            folder.join("aa").exists() && folder.join("zz").exists(),
            "{made:?}"
        );
        assert!(made.warnings[0].contains("File name too long"), "{made:?}");
        assert!(made.commit.is_some());
    }
}

#[tokio::test]
async fn pointers_of_lfs_that_cannot_be_replaced_are_told() {
    let remote = Remote::start();
    let url = remote.repo(
        "lfs",
        "mkdir d; echo '*.bin filter=lfs diff=lfs merge=lfs -text' > d/.gitattributes
         printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n' > d/a.bin; cp d/a.bin d/b.bin
         git add .; git commit -qm x",
    );
    let (_, made) = clone(&GitCli::default(), &url, "").await.unwrap();
    let start = "the content of d/a.bin and of others of the 2 files in Git LFS is not there: hearth fetches it by https";
    assert!(made.warnings[0].starts_with(start), "{made:?}");
}

#[tokio::test]
async fn the_nodes_own_configuration_does_not_shape_a_clone() {
    let remote = Remote::start();
    let url = remote.repo(
        "plain",
        "printf 'one\ntwo\n' > f; printf 'f filter=node\n' > .gitattributes; git add .; git commit -qm x",
    );
    let node = tempfile::tempdir().unwrap();
    let config = node.path().join("gitconfig");
    fs::write(
        &config,
        "[core]\n\tautocrlf = true\n[filter \"node\"]\n\tsmudge = false\n\trequired = true\n",
    )
    .unwrap();
    let program = node.path().join("git");
    let script = format!(
        "#!/bin/sh\nexport GIT_CONFIG_SYSTEM={}\nexec {}/git \"$@\"\n",
        config.display(),
        String::from_utf8_lossy(
            &Command::new("git")
                .arg("--exec-path")
                .output()
                .unwrap()
                .stdout
        )
        .trim()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let git = GitCli {
        program: program.into(),
        ..GitCli::default()
    };
    let (scratch, made) = clone(&git, &url, "").await.unwrap();
    assert_eq!(made.warnings, [""; 0]);
    let text = fs::read_to_string(scratch.path().join("clone/f")).unwrap();
    assert_eq!(text, "one\ntwo\n");
}

#[tokio::test]
async fn a_web_page_is_not_an_empty_repository() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let page = "<html><body>Sign in</body></html>";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
        }
    });
    for git_ref in ["", "main"] {
        let failure = clone(&GitCli::default(), &url, git_ref).await.unwrap_err();
        assert!(
            matches!(&failure, CloneFailure::Failed(told) if advice(told).is_some_and(|advice| advice.contains("check the URL"))),
            "{failure:?}"
        );
    }
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
