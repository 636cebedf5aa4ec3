//! Real git repositories behind a real git server.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// `git daemon` on loopback; gone when dropped.
pub struct GitServer {
    base: PathBuf,
    port: u16,
    daemon: Child,
}

impl GitServer {
    /// A server without repositories.
    pub fn start(base: PathBuf) -> Self {
        std::fs::create_dir_all(&base).expect("a folder");
        let port = free_port();
        // The daemon itself, not by way of `git`, so that ending the process ends the server.
        let exec_path = Command::new("git")
            .arg("--exec-path")
            .output()
            .expect("git");
        let exec_path = String::from_utf8_lossy(&exec_path.stdout).trim().to_owned();
        let daemon = Command::new(Path::new(&exec_path).join("git-daemon"))
            .args(["--listen=127.0.0.1", "--export-all", "--reuseaddr"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", base.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("git daemon");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Self { base, port, daemon }
    }

    /// A repository with these files in its first commit.
    pub fn repo(&self, name: &str, files: &[(&str, &str)]) -> Repo {
        let repo = self.empty_repo(name);
        repo.commit(files);
        repo
    }

    /// A repository without a commit.
    pub fn empty_repo(&self, name: &str) -> Repo {
        let dir = self.base.join(name);
        std::fs::create_dir_all(&dir).expect("a folder");
        let repo = Repo {
            dir,
            url: self.url(name),
        };
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo.git(&["config", "uploadpack.allowFilter", "true"]);
        repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        repo
    }

    /// URL of a repository, whether it is there or not.
    pub fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A repository.
pub struct Repo {
    dir: PathBuf,
    /// Where it is cloned from.
    pub url: String,
}

impl Repo {
    /// Its work tree.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes files and commits them.
    pub fn commit(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.dir.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(&path, text).expect("a file");
            if text.starts_with("#!") {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(&path, mode).expect("a mode");
            }
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "change"]);
    }

    /// Makes links, each by its path and its target, for the next commit.
    pub fn link(&self, links: &[(&str, &str)]) {
        for (path, target) in links {
            let path = self.dir.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::os::unix::fs::symlink(target, path).expect("a link");
        }
    }

    /// Begins a branch at the newest commit; commits go to it from now on.
    pub fn branch(&self, name: &str) {
        self.git(&["checkout", "--quiet", "-b", name]);
    }

    /// Adds another repository as a submodule.
    pub fn add_submodule(&self, path: &str, url: &str) {
        self.git(&["submodule", "--quiet", "add", url, path]);
        self.commit(&[]);
    }

    /// Runs git in its work tree.
    pub fn git(&self, args: &[&str]) {
        let status = Command::new("git")
            .args(args)
            .current_dir(&self.dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
                [
                    (format!("GIT_{who}_NAME"), "t"),
                    (format!("GIT_{who}_EMAIL"), "t@example.org"),
                ]
            }))
            .status()
            .expect("git");
        assert!(status.success(), "git {args:?}");
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
