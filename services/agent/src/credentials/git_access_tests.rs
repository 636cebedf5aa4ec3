use std::{os::unix::fs::PermissionsExt as _, process::Stdio};

use tokio::process::Command;

use super::*;
use crate::credentials::fake::{Answer, FakeCredentials, attempt, logins};
use crate::credentials::workspace_folder::git_settings;

const URL: &str = "https://git.example/a/b";

struct World {
    dir: tempfile::TempDir,
    tasks: Tasks,
    access: GitAccess,
}

impl World {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tasks = Tasks::default();
        let access = GitAccess::new(
            dir.path().join("workspaces"),
            FakeCredentials::answering(answers),
            tasks.clone(),
        );
        Self { dir, tasks, access }
    }

    fn open(&self) -> PathBuf {
        self.access
            .open(&attempt(), &URL.parse().unwrap())
            .unwrap()
            .unwrap()
    }
}

/// What git is told that uses a workspace's folder, with its paths as they are here.
async fn fill(folder: &Path, url: &str) -> String {
    let remote = GitRemote::of(&URL.parse().unwrap()).unwrap();
    let mut command = Command::new("git");
    command.env("GIT_CONFIG_COUNT", "2");
    for (number, (key, value)) in git_settings(&remote).into_iter().enumerate() {
        let here = value.replace("/opt/hearth", folder.to_str().unwrap());
        command
            .env(format!("GIT_CONFIG_KEY_{number}"), key)
            .env(format!("GIT_CONFIG_VALUE_{number}"), here);
    }
    let mut git = command
        .args(["credential", "fill"])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("HEARTH_CREDENTIALS_SOCKET", folder.join("agent.sock"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = git.stdin.take().unwrap();
    let question = format!("url={url}\n\n");
    tokio::io::AsyncWriteExt::write_all(&mut stdin, question.as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let output = git.wait_with_output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn git_with_the_workspaces_settings_logs_in_to_the_repository_and_to_nothing_else() {
    let world = World::answering([logins("secret", None)]);
    let folder = world.open();
    assert!(fill(&folder, URL).await.contains("password=secret\n"));
    assert!(
        fill(&folder, &format!("{URL}.git"))
            .await
            .contains("password=secret\n")
    );
    for other in [
        "https://git.example/a/c",
        "https://other.example/a/b",
        "http://git.example/a/b",
    ] {
        assert_eq!(fill(&folder, other).await, "", "{other}");
    }
    assert!(world.tasks.stop(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_workspaces_folder_is_for_its_container_alone_and_holds_no_secret() {
    // The program in it may well say "secret".
    let secret = "planted-password-of-git";
    let world = World::answering([logins(secret, None)]);
    let folder = world.open();
    assert!(fill(&folder, URL).await.contains(secret));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.parent().unwrap()), 0o700);
    assert_eq!(mode(&folder), 0o755);
    assert_eq!(mode(&folder.join("git-credential-hearth")), 0o755);
    assert_eq!(mode(&folder.join("agent.sock")), 0o666);
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{:?}", entry.file_name());
        }
    }
    world.access.close(&attempt().workspace).unwrap();
    assert!(!folder.exists());
    world.access.close(&attempt().workspace).unwrap();
}

#[tokio::test]
async fn a_restarted_agent_serves_workspaces_that_live_and_removes_the_folders_of_others() {
    let first = World::answering([]);
    let folder = first.open();
    let socket = fs::metadata(&folder).map(|m| std::os::unix::fs::MetadataExt::ino(&m));
    fs::create_dir(folder.with_file_name("ws-gone")).unwrap();
    assert!(first.tasks.stop(Duration::from_secs(10)).await);
    assert_eq!(fill(&folder, URL).await, "", "nobody serves it");

    let tasks = Tasks::default();
    let again = GitAccess::new(
        first.dir.path().join("workspaces"),
        FakeCredentials::answering([logins("secret", None), logins("secret", None)]),
        tasks.clone(),
    );
    // An engine that does not answer keeps nobody's git waiting, and nothing is removed.
    again.resume_those(None);
    assert!(fill(&folder, URL).await.contains("password=secret\n"));
    assert!(folder.with_file_name("ws-gone").exists());
    again.resume_those(Some(&[attempt().workspace]));
    assert!(fill(&folder, URL).await.contains("password=secret\n"));
    assert!(!folder.with_file_name("ws-gone").exists());
    let now = fs::metadata(&folder).map(|m| std::os::unix::fs::MetadataExt::ino(&m));
    assert_eq!(
        now.unwrap(),
        socket.unwrap(),
        "a container sees the folder itself"
    );
    assert!(tasks.stop(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_new_attempt_takes_the_folder_over_and_a_repository_without_passwords_has_none() {
    let world = World::answering([]);
    let folder = world.open();
    let next = AttemptRef {
        number: 2,
        ..attempt()
    };
    let ssh = "git@git.example:a/b".parse().unwrap();
    assert_eq!(world.access.open(&next, &ssh).unwrap(), None);
    assert!(!folder.exists());
    world.access.open(&next, &URL.parse().unwrap()).unwrap();
    let record =
        WorkspaceFolder::of(&world.dir.path().join("workspaces"), &next.workspace).record();
    assert_eq!(record.unwrap().0.number, 2);
}
