//! An agent as a process, on its VM.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::Command,
};

use super::{
    Vm,
    process::{Process, binary},
};

/// An agent; it can be killed and come back under the same name.
pub struct Agent {
    /// Name of the node.
    pub node: String,
    process: Process,
    setup: Setup,
}

struct Setup {
    dir: PathBuf,
    docker_host: String,
    containerd: String,
    control_plane: String,
    default_image: String,
    extra: Vec<String>,
}

impl Agent {
    /// A new one.
    pub fn start(
        node: &str,
        dir: PathBuf,
        vm: &Vm,
        control_plane: &str,
        default_image: &str,
        extra: &[&str],
    ) -> Self {
        std::fs::create_dir_all(&dir).expect("a folder");
        let setup = Setup {
            dir,
            docker_host: vm.docker_host(),
            containerd: vm.containerd(),
            control_plane: control_plane.to_owned(),
            default_image: default_image.to_owned(),
            extra: extra.iter().map(|&arg| arg.to_owned()).collect(),
        };
        Self {
            node: node.to_owned(),
            process: spawn(node, &setup),
            setup,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.node, &self.setup);
    }

    /// Starts it again, and does not wait until it serves.
    pub fn begin_restart(&mut self) {
        self.process.kill();
        self.process = begin(&self.node, &self.setup);
    }

    /// Waits until it serves.
    pub fn wait_ready(&mut self) {
        self.process.wait_ready(&self.setup.dir.join("ready.json"));
    }

    /// Starts it again, with these flags besides those that it had.
    pub fn restart_with(&mut self, extra: &[&str]) {
        let extra = extra.iter().map(|&arg| arg.to_owned());
        self.setup.extra.extend(extra);
        self.restart();
    }

    /// What it tells a collector.
    pub fn metrics(&self) -> String {
        let ready = std::fs::read(self.setup.dir.join("ready.json")).expect("it is ready");
        let ready: serde_json::Value = serde_json::from_slice(&ready).expect("JSON");
        let admin = ready["admin"].as_str().expect("an address");
        let mut connection = TcpStream::connect(admin).expect("a connection");
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {admin}\r\n\r\n");
        connection.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Where it keeps the folders of attempts.
    pub fn attempts_dir(&self) -> PathBuf {
        self.setup.dir.join("state/attempts")
    }

    /// Where it keeps the folders of workspaces.
    pub fn workspaces_dir(&self) -> PathBuf {
        self.setup.dir.join("state/workspaces")
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn spawn(node: &str, setup: &Setup) -> Process {
    let mut process = begin(node, setup);
    process.wait_ready(&setup.dir.join("ready.json"));
    process
}

fn begin(node: &str, setup: &Setup) -> Process {
    let ready = setup.dir.join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let is_other = setup.extra.iter().any(|flag| flag == "--containerd");
    let containerd = ["--containerd", &setup.containerd];
    let containerd = if is_other { &[][..] } else { &containerd };
    Process::start(
        node,
        // No umask of a node's may show in a clone.
        Command::new("sh")
            .args(["-c", "umask 0077 && exec \"$@\"", "sh"])
            .arg(binary("hearth-agent"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--insecure-loopback",
            ])
            .args(["--node-name", node])
            .args(["--control-plane", &setup.control_plane])
            .args(["--docker-host", &setup.docker_host])
            .args(containerd)
            .args(["--default-image", &setup.default_image])
            .args(["--min-free-disk-mib", "256"])
            // A test counts what is fetched.
            .env("HEARTH_DEFAULT_IMAGE_REFRESH_HOURS", "0")
            .arg("--state-dir")
            .arg(setup.dir.join("state"))
            .arg("--ready-file")
            .arg(&ready)
            .args(&setup.extra),
        setup.dir.join("log"),
    )
}
