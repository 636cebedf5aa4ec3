//! Git repositories of the stand-in, as a test fills them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    GitHub,
    world::{Repository, Visibility, full_name},
};

impl GitHub {
    /// Makes an empty repository `owner/name` and returns where it lies.
    pub fn create_repository(&self, repository: &str, visibility: Visibility) -> PathBuf {
        let (owner, name) = split(repository);
        let path = self.repository_path(repository);
        std::fs::create_dir_all(&path).expect("a folder");
        git(
            &path,
            &["init", "--quiet", "--bare", "--initial-branch=main"],
        );
        for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
            git(&path, &["config", setting, "true"]);
        }
        self.shared.change(|world| {
            let id = world.new_id();
            let old = world.repositories.insert(
                full_name(owner, name),
                Repository {
                    id,
                    owner: owner.to_owned(),
                    name: name.to_owned(),
                    visibility,
                },
            );
            assert!(old.is_none(), "{repository} is there already");
        });
        path
    }

    /// Makes it public or private.
    pub fn set_visibility(&self, repository: &str, visibility: Visibility) {
        let (owner, name) = split(repository);
        self.shared.change(|world| {
            let repository = world.repositories.get_mut(&full_name(owner, name));
            repository.expect("a repository").visibility = visibility;
        });
    }

    /// Commits files to `main` and returns the commit.
    pub fn commit(&self, repository: &str, files: &[(&str, &str)]) -> String {
        self.commit_to(repository, "main", files)
    }

    /// Commits files to a branch, which begins at `main` if it is new, and returns the commit.
    pub fn commit_to(&self, repository: &str, branch: &str, files: &[(&str, &str)]) -> String {
        let bare = self.repository_path(repository);
        let work = tempfile::tempdir_in(&self.dir).expect("a folder");
        let bare = bare.to_str().expect("UTF-8");
        git(work.path(), &["clone", "--quiet", bare, "."]);
        if git(
            work.path(),
            &["ls-remote", "origin", &format!("refs/heads/{branch}")],
        )
        .is_empty()
        {
            git(work.path(), &["checkout", "--quiet", "-B", branch]);
        } else {
            git(work.path(), &["checkout", "--quiet", branch]);
        }
        for (path, text) in files {
            write(&work.path().join(path), text);
        }
        git(work.path(), &["add", "--all"]);
        git(work.path(), &["commit", "--quiet", "--message", "change"]);
        git(work.path(), &["push", "--quiet", "origin", branch]);
        git(work.path(), &["rev-parse", "HEAD"])
    }

    /// Runs git in the bare repository.
    pub fn git(&self, repository: &str, args: &[&str]) -> String {
        git(&self.repository_path(repository), args)
    }

    /// URL that the repository is cloned from.
    pub fn clone_url(&self, repository: &str) -> String {
        format!("{}/{repository}", self.url())
    }

    fn repository_path(&self, repository: &str) -> PathBuf {
        let (owner, name) = split(repository);
        let folder = format!("{}.git", full_name(owner, name));
        self.shared.repositories.join(folder)
    }
}

/// `owner/name`.
pub fn split(repository: &str) -> (&str, &str) {
    repository.split_once('/').expect("owner/name")
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("a file");
    if text.starts_with("#!") {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("a mode");
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
            [
                (format!("GIT_{who}_NAME"), "t"),
                (format!("GIT_{who}_EMAIL"), "t@example.org"),
            ]
        }))
        .output()
        .expect("git");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
