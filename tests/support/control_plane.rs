//! The control plane as a process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    GitHub,
    process::{Process, binary},
};

/// A control plane; it can be killed and come back at the same address with the same database.
pub struct ControlPlane {
    process: Process,
    dir: PathBuf,
    registry: String,
    extra: Vec<String>,
    address: SocketAddr,
}

impl ControlPlane {
    /// A new one with an empty database in `dir` that caches in `registry` and needs no login anywhere.
    pub fn start(dir: PathBuf, registry: &str) -> Self {
        Self::start_with(dir, registry, &["--credentials", "none"])
    }

    /// The same with these flags, which say where logins come from.
    pub fn start_with(dir: PathBuf, registry: &str, extra: &[&str]) -> Self {
        std::fs::create_dir_all(&dir).expect("a folder");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let extra: Vec<String> = extra.iter().map(|flag| (*flag).to_owned()).collect();
        let (process, address) = spawn(&dir, registry, &extra, any);
        Self {
            process,
            dir,
            registry: registry.to_owned(),
            extra,
            address,
        }
    }

    /// The same with the key of an App at this GitHub, whose tokens the registry takes; it gets `extra` flags too.
    pub fn start_with_app(dir: PathBuf, registry: &str, github: &GitHub, extra: &[&str]) -> Self {
        let key = github.key_file().to_str().expect("UTF-8");
        let hosts = format!("{},{registry}", github.host());
        let (id, url) = (github.app_id().to_string(), github.url());
        let mut flags = vec![
            "--credentials",
            "github-app",
            "--github-app-id",
            &id,
            "--github-app-key-file",
            key,
            "--github-api-url",
            &url,
            "--github-hosts",
            &hosts,
        ];
        flags.extend(extra);
        Self::start_with(dir, registry, &flags)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        self.dir.join("hearth.db")
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again without anything that it knew but its signing key.
    pub fn restart_without_database(&mut self) {
        self.process.kill();
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.dir.join(format!("hearth.db{ending}")));
        }
        self.restart();
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.process.kill();
        (self.process, self.address) = spawn(&self.dir, &self.registry, &self.extra, self.address);
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn spawn(
    dir: &Path,
    registry: &str,
    extra: &[String],
    listen: SocketAddr,
) -> (Process, SocketAddr) {
    let ready = dir.join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let mut process = Process::start(
        "control plane",
        Command::new(binary("hearth-control-plane"))
            .args([
                "--listen",
                &listen.to_string(),
                "--admin-listen",
                "127.0.0.1:0",
            ])
            .args(["--insecure-loopback", "--node-lease-seconds", "6"])
            .args(["--cache-registry", registry])
            .arg("--signing-key")
            .arg(dir.join("signing.pem"))
            .arg("--secrets-key-file")
            .arg(dir.join("secrets.key"))
            .args(extra)
            .args([
                "--database",
                &format!("sqlite://{}/hearth.db", dir.display()),
            ])
            .arg("--ready-file")
            .arg(&ready),
        dir.join("log"),
    );
    let address = process.wait_ready(&ready);
    (process, address)
}
