//! Processes of a test, and the scripts of `deploy/local`.

use std::{
    ffi::OsStr,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for anything in a test. What takes longer fails with its name.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Root of the checkout.
pub fn checkout() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent()
        .expect("this package is a folder of the checkout")
}

/// PATH with the tools that `deploy/local/tools` got.
pub fn path() -> String {
    static PATH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    PATH.get_or_init(|| {
        let tools = script(
            "tools",
            ["engine", "registry", "devcontainer", "base-image", "buf"],
        );
        format!("{tools}:{}", std::env::var("PATH").unwrap_or_default())
    })
    .clone()
}

/// Runs a script of `deploy/local` and returns what it prints.
pub fn script<I, S>(name: &str, args: I) -> String
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let output = Command::new(checkout().join("deploy/local").join(name))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("deploy/local/{name}: {error}"));
    assert!(
        output.status.success(),
        "deploy/local/{name} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A binary of this workspace: it lies beside the directory of the test's own executable.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let target = own
        .parent()
        .and_then(Path::parent)
        .expect("the target directory");
    let binary = target.join(name);
    assert!(
        binary.exists(),
        "{} is not built: run tests/run",
        binary.display()
    );
    binary
}

/// A process that a test owns: it is killed when the test is done with it.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with its output in `log`.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let child = command
            .env("PATH", path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Waits for its ready file and returns the address in it.
    pub fn wait_ready(&mut self, file: &Path) -> SocketAddr {
        let began = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(file) {
                let listen = text
                    .split("\"listen\":\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next());
                return listen.expect("listen").parse().expect("an address");
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended with {status}: {}", self.name, self.log());
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{} is not ready: {}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: it gets no chance to clean up.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for its end.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{} does not end: {}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} printed:\n{}", self.name, self.log());
        }
    }
}

/// Waits until a condition holds; `what` completes "it never came that".
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it never came that {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
