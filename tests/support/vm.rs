//! Engines, each standing for one disposable VM.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::process::{path, script};

/// An engine with data, network and cgroup of its own; removed when dropped.
pub struct Vm {
    dir: PathBuf,
}

impl Vm {
    /// An empty engine with the containerd image store.
    pub fn start(dir: PathBuf) -> Self {
        script("vm", ["start".as_ref(), dir.as_os_str()]);
        Self { dir }
    }

    /// An empty engine with the classic image store.
    pub fn start_classic(dir: PathBuf) -> Self {
        script(
            "vm",
            ["start".as_ref(), "--classic".as_ref(), dir.as_os_str()],
        );
        Self { dir }
    }

    /// Kills it with all of its containers, as a crash does.
    pub fn kill(&self) {
        script("vm", ["kill".as_ref(), self.dir.as_os_str()]);
    }

    /// Starts it again after a crash. Its containers do not run.
    pub fn restart(&self) {
        script("vm", ["restart".as_ref(), self.dir.as_os_str()]);
    }

    /// The folder that it was started with.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its API socket as a URL.
    pub fn docker_host(&self) -> String {
        format!("unix://{}/docker.sock", self.dir.display())
    }

    /// The socket of its containerd as a URL.
    pub fn containerd(&self) -> String {
        format!("unix://{}/containerd.sock", self.dir.display())
    }

    /// Where `deploy/local/vm` keeps sockets, whose paths must be short.
    pub fn run_dir(&self) -> PathBuf {
        let socket = std::fs::read_link(self.dir.join("containerd.sock")).expect("a link");
        socket.parent().expect("a folder").to_path_buf()
    }

    /// Its API socket as a path.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// Runs a docker command on it and returns what it prints.
    pub fn docker(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "docker {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The text of a file in a container.
    pub fn cat(&self, container: &str, path: &str) -> String {
        self.docker(&["exec", container, "cat", path])
    }

    /// Whether a docker command succeeds.
    pub fn succeeds(&self, args: &[&str]) -> bool {
        self.run(args).status.success()
    }

    /// The docker command, pointed at this engine.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .env("PATH", path())
            .env("DOCKER_HOST", self.docker_host());
        command
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        self.command().args(args).output().expect("docker")
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic would hide the first.
            let _ = Command::new(super::process::checkout().join("deploy/local/vm"))
                .arg("stop")
                .arg(&self.dir)
                .status();
        } else {
            script("vm", ["stop".as_ref(), self.dir.as_os_str()]);
        }
    }
}
