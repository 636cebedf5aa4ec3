//! What commands see of the node, and what the kernel does for them: [bubblewrap] gives each of them namespaces of its own
//! with the system and the folders of programs, read-only, and whatever it is [given](View) besides.
//!
//! [bubblewrap]: https://github.com/containers/bubblewrap

mod cgroups;
mod folders;
mod syscalls;

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use cgroups::Cgroups;
pub(super) use cgroups::Group;
pub use cgroups::Limits;
pub(super) use folders::find_program;
use folders::{Folders, SYSTEM};

/// Programs that commands start by themselves. They may be linked from a folder of `PATH` to elsewhere.
const PROGRAMS: [&str; 6] = ["git", "ssh", "node", "npm", "npx", "docker"];
/// What commands need in `/etc`: how names are resolved, which certificates are trusted, where libraries are. Nothing in it
/// is secret.
const ETC: [&str; 27] = [
    "alternatives",
    "ca-certificates",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "protocols",
    "resolv.conf",
    "services",
    "ssh/ssh_config",
    "ssh/ssh_config.d",
    "ssh/ssh_known_hosts",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];
/// Where systemd's resolver keeps its sockets and files.
const RESOLVER: &str = "/run/systemd/resolve";
/// Variables that name a file or folder of certificates.
const CERTIFICATES: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"];
/// Opens the list of refused calls as a descriptor that bubblewrap inherits, lets the kernel end the command before anything
/// else when memory is short, and enters the control groups before `--`.
const PREPARE: &str = r#"exec 9<"$0"; echo 500 2>/dev/null >/proc/self/oom_score_adj
while [ "$1" != -- ]; do echo 0 >"$1" || exit; shift; done; shift; exec "$@""#;
/// Most files that a command can have open.
const MAX_FILES: u64 = 65_536;
/// Most bytes of a file that a command writes.
const MAX_FILE_BYTES: u64 = 256 << 30;
/// Most processes and threads of a user that is not root. The kernel does not limit those of root.
const MAX_PROCESSES: u64 = 1024;

/// The sandbox of this node's commands.
#[derive(Clone, Debug)]
pub struct Sandbox(Arc<Node>);

#[derive(Debug)]
struct Node {
    folders: Folders,
    certificates: Vec<PathBuf>,
    refused_calls: File,
    limits: Limits,
    /// `None` where they cannot be made.
    groups: Option<Arc<Cgroups>>,
    /// Whether bubblewrap can limit the size of a folder in memory.
    has_sizes: bool,
}

/// What a command reaches on the network.
#[derive(Clone, Debug, Default)]
pub(super) enum Network {
    /// The node's.
    #[default]
    Node,
    /// That of this namespace.
    Of(Arc<OwnedFd>),
    /// Nothing.
    None,
}

/// What a command is given besides the system and programs.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Files and folders that it reads.
    pub reads: Vec<PathBuf>,
    /// Files and folders that it writes.
    pub writes: Vec<PathBuf>,
    /// A file that it reads in place of a file of the system.
    pub replaced: Vec<(PathBuf, PathBuf)>,
    /// The user that it runs as, in a group of the same number; `None`: the agent's.
    pub user: Option<u32>,
    /// Its network.
    pub network: Network,
    /// Most bytes of a file that it writes, if that is fewer than usual.
    pub max_file_bytes: Option<u64>,
}

impl Sandbox {
    /// A sandbox with the folders of `PATH` and `command_folders` in it. Nothing that holds one of `private` is shown for
    /// the sake of a program. Each command has `limits`.
    ///
    /// # Errors
    ///
    /// When the kernel gives no memory for the list of refused calls.
    pub fn new(
        command_folders: &[PathBuf],
        private: &[PathBuf],
        limits: Limits,
    ) -> io::Result<Self> {
        let mut folders = Folders::new(private);
        for folder in command_folders {
            folders.add_whole(folder);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        for folder in std::env::split_paths(&path) {
            folders.add(&folder);
        }
        for program in PROGRAMS {
            if let Some(program) = find_program(OsStr::new(program), &path) {
                folders.add_program(&program);
            }
        }
        if let Some(config) = std::env::var_os("DOCKER_CONFIG") {
            folders.add_plugins(&Path::new(&config).join("cli-plugins"));
        }
        let groups = Cgroups::new(limits).inspect_err(|error| {
            tracing::warn!(%error, "there are no control groups for commands: --command-memory-mib limits each of their processes instead, and the number of processes is limited in initializeCommand only");
        });
        let certificates = CERTIFICATES.iter().filter_map(std::env::var_os);
        Ok(Self(Arc::new(Node {
            certificates: certificates
                .map(PathBuf::from)
                .filter(|path| !folders.has(path) && !folders.is_too_wide(path))
                .collect(),
            folders,
            refused_calls: syscalls::refused()?,
            limits,
            groups: groups.ok(),
            has_sizes: has_sizes(),
        })))
    }

    /// One for tests.
    #[cfg(test)]
    pub(crate) fn of_tests() -> Self {
        let limits = Limits {
            memory_mib: 256,
            processes: 512,
        };
        Self::new(&[], &[], limits).expect("memory")
    }

    /// One of a node where no groups can be made.
    #[cfg(test)]
    pub(crate) fn without_groups() -> Self {
        let mut sandbox = Self::of_tests();
        Arc::get_mut(&mut sandbox.0).expect("new").groups = None;
        sandbox
    }

    /// A group for commands that have the limits together; `None` where the kernel has none.
    pub(super) fn group(&self) -> io::Result<Option<Group>> {
        self.0.groups.as_ref().map(Cgroups::group).transpose()
    }

    /// The words that run `program` and `args` in `folder`.
    pub(super) fn command(
        &self,
        program: &Path,
        args: &[OsString],
        folder: Option<&Path>,
        view: &View,
        group: Option<&Group>,
    ) -> Words {
        let mut words = Words::default();
        words.push(["setpriv", "--pdeathsig", "KILL", "--"]);
        if rustix::process::geteuid().is_root() {
            // It ends when the kernel has ended everything in the namespace, and not before.
            words.push(["unshare", "--pid", "--fork", "--kill-child=KILL", "--"]);
        }
        if let Network::Of(namespace) = &view.network {
            let network = format!("--net={}", of_agent(namespace));
            words.push(["nsenter", network.as_str(), "--"]);
        }
        // Every command opens the list anew: each reads it from its beginning.
        let refused = of_agent(&self.0.refused_calls);
        words.push(["sh", "-c", PREPARE, refused.as_str()]);
        words.push(group.into_iter().flat_map(Group::doors));
        words.push(["--"]);
        if rustix::process::geteuid().is_root() {
            // Bubblewrap looks for its child in /proc by the number that it has in the namespace. In the agent's /proc that is
            // another process, or, in a container, none.
            words.push(["unshare", "--mount-proc", "--"]);
        }
        let memory = (self.0.limits.memory_mib << 20).max(1);
        words.limits(view, group.is_none().then_some(memory));
        words.push(["bwrap", "--seccomp", "9"]);
        words.namespaces(view);
        // All of them together fill no more than what the command may use.
        words.system(self.0.has_sizes.then_some(memory / 4));
        if let Network::Node = view.network {
            words.bind("--ro-bind-try", Path::new(RESOLVER));
        }
        let mut folders = self.0.folders.clone();
        folders.add_program(program);
        folders
            .iter()
            .for_each(|folder| words.bind("--ro-bind-try", folder));
        for certificates in &self.0.certificates {
            words.bind("--ro-bind-try", certificates);
        }
        for read in &view.reads {
            // What is in a folder that it writes stays so.
            if !view.writes.iter().any(|write| read.starts_with(write)) {
                words.bind("--ro-bind", read);
            }
        }
        for write in &view.writes {
            words.bind("--bind", write);
        }
        for (file, place) in &view.replaced {
            words.push([OsStr::new("--ro-bind"), file.as_os_str(), place.as_os_str()]);
        }
        // Root's own files in /proc can be written without a capability, and memory is not a place for files.
        for place in ["/proc", "/dev", "/"] {
            words.push(["--remount-ro", place]);
        }
        words.push([
            OsStr::new("--chdir"),
            folder.unwrap_or(Path::new("/")).as_os_str(),
        ]);
        words.push(["--"]);
        if let Some(user) = view.user {
            let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
            words.push([
                "setpriv",
                user.as_str(),
                group.as_str(),
                "--clear-groups",
                "--",
            ]);
        }
        words.push([program.as_os_str()]);
        words.push(args);
        words
    }
}

/// Bubblewrap can do it since 0.7.
fn has_sizes() -> bool {
    let help = std::process::Command::new("bwrap").arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--size"))
}

/// A file that the agent has open, as its children find it.
fn of_agent(file: &impl AsRawFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// Commands cannot be run in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// It is not installed.
    #[error(
        "bubblewrap is missing, in which the agent runs all commands: install the package `bubblewrap`"
    )]
    Missing,
    /// It does not work here.
    #[error(
        "bubblewrap does not work here: {0}; the agent needs root on the node or VM itself. In a container it needs \
         `--privileged`, or the capability SYS_ADMIN without seccomp and AppArmor profiles and with `systempaths=unconfined`"
    )]
    Broken(String),
}

/// A command line.
#[derive(Default)]
pub(super) struct Words {
    pub words: Vec<OsString>,
    made: BTreeSet<PathBuf>,
}

impl Words {
    fn push(&mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        self.words.extend(words);
    }

    /// Shows `path` in its place. Bubblewrap makes the folders that lead there for root alone.
    fn bind(&mut self, how: &str, path: &Path) {
        let parents: Vec<&Path> = path.ancestors().skip(1).collect();
        for parent in parents.into_iter().rev().skip(1) {
            if self.made.insert(parent.to_owned()) {
                self.push([OsStr::new("--dir"), parent.as_os_str()]);
            }
        }
        self.push([OsStr::new(how), path.as_os_str(), path.as_os_str()]);
    }

    /// `memory` is that of each process, where no group limits it.
    fn limits(&mut self, view: &View, memory: Option<u64>) {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let files = files.maximum.map_or(MAX_FILES, |most| most.min(MAX_FILES));
        self.push([
            "prlimit".to_owned(),
            "--core=0".to_owned(),
            format!("--nofile={files}"),
            format!("--fsize={}", view.max_file_bytes.unwrap_or(MAX_FILE_BYTES)),
        ]);
        self.push(memory.map(|bytes| format!("--data={bytes}")));
        if view.user.is_some() {
            self.push([format!("--nproc={MAX_PROCESSES}")]);
        }
        self.push(["--"]);
    }

    fn namespaces(&mut self, view: &View) {
        self.push(["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
        if view.user.is_some() {
            // To become that user, which has none any more.
            self.push(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]);
        }
        self.push(["--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
        self.push(["--unshare-cgroup-try"]);
        if let Network::None = view.network {
            self.push(["--unshare-net"]);
        }
    }

    /// `size` is that of each folder in memory.
    fn system(&mut self, size: Option<u64>) {
        for name in SYSTEM {
            let path = Path::new("/").join(name);
            match std::fs::read_link(&path) {
                Ok(target) => {
                    self.push([
                        OsStr::new("--symlink"),
                        target.as_os_str(),
                        path.as_os_str(),
                    ]);
                }
                Err(_) => self.bind("--ro-bind-try", &path),
            }
        }
        for name in ETC {
            self.bind("--ro-bind-try", &Path::new("/etc").join(name));
        }
        self.push(["--proc", "/proc", "--dev", "/dev"]);
        for place in ["/dev/shm", "/tmp", "/var/tmp"] {
            if let Some(size) = size {
                self.push(["--size".to_owned(), size.to_string()]);
            }
            self.push(["--perms", "1777", "--tmpfs", place]);
        }
        self.push(["--dir", "/run", "--symlink", "../run", "/var/run"]);
    }
}
