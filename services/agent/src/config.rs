//! The flags of the agent; each is an environment variable too.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use hearth_domain::{Name, is_loopback};
use hearth_layers::Mirror;
use hearth_runtime::{LimitArgs, ListenArgs, LogArgs};
use tonic::transport::Endpoint;

use crate::{
    disk::Watermarks,
    external::{engine::ContainerdSocket, sandbox::Limits},
    identity::JoinArgs,
    neighbourhood::NeighbourArgs,
    policy::{Door, HostAccess, Policy},
};

/// Prepares and runs devcontainer workspaces on this node, for a hearth control plane.
///
/// Needs root, Docker with buildx 0.13 or newer, git, bubblewrap, util-linux and the devcontainer CLI on PATH. Exits with 64 when
/// a flag is wrong, and with 1 when the start or the agent itself fails.
#[derive(Clone, Debug, Parser)]
#[command(version, name = "hearth-agent")]
pub struct Config {
    /// Address of the service on this machine, for tools such as grpcurl; port 0 picks a free one. The control plane calls the
    /// agent on a connection that the agent opens
    #[arg(
        long,
        env = "HEARTH_LISTEN",
        default_value = "127.0.0.1:7410",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Address of /healthz, /readyz and /metrics
    #[arg(
        long,
        env = "HEARTH_ADMIN_LISTEN",
        default_value = "127.0.0.1:7411",
        value_name = "ADDRESS"
    )]
    pub admin_listen: SocketAddr,
    /// URL of the control plane: https://HOST:PORT, or http://HOST:PORT on this machine
    #[arg(
        long,
        env = "HEARTH_CONTROL_PLANE",
        default_value = "http://127.0.0.1:7400",
        value_name = "URL",
        value_parser = control_plane
    )]
    pub control_plane: Endpoint,
    /// How it joins a control plane with TLS
    #[command(flatten)]
    pub joining: JoinArgs,
    /// File with the public keys, in PEM, that the cache's entries have to be signed with; `hearth cache public-key` prints
    /// one [default: the one that the control plane tells, if it signs]
    #[arg(long, env = "HEARTH_CACHE_PUBLIC_KEY", value_name = "FILE")]
    pub cache_public_key: Option<PathBuf>,
    /// Name of this node, unique in the fleet: lower-case letters, digits, dashes and dots
    #[arg(long, env = "HEARTH_NODE_NAME", value_name = "NAME")]
    pub node_name: Name,
    /// Folder of the agent's state: attempts, workspaces, use of images
    #[arg(
        long,
        env = "HEARTH_STATE_DIR",
        default_value = "/var/lib/hearth",
        value_name = "DIR"
    )]
    pub state_dir: PathBuf,
    /// Docker's socket
    #[arg(long, env = "HEARTH_DOCKER_HOST", default_value = "unix:///var/run/docker.sock", value_name = "URL", value_parser = docker_host)]
    pub docker_host: String,
    /// Socket of the containerd in which Docker keeps its images, as unix:///PATH: the agent fetches and unpacks images of
    /// the cache itself, all layers at once, and pushes them itself; auto takes the one that Docker names (since 27); with
    /// off, and wherever it cannot be done, Docker pulls and pushes them
    #[arg(
        long,
        env = "HEARTH_CONTAINERD",
        default_value = "auto",
        value_name = "auto|off|URL"
    )]
    pub containerd: ContainerdSocket,
    /// The devcontainer CLI
    #[arg(
        long,
        env = "HEARTH_DEVCONTAINER_CLI",
        default_value = "devcontainer",
        value_name = "PROGRAM"
    )]
    pub devcontainer_cli: OsString,
    /// Folders of programs and libraries that commands see besides the system and the folders of PATH; nothing in them may
    /// be secret
    #[arg(
        long,
        env = "HEARTH_COMMAND_FOLDERS",
        value_delimiter = ',',
        value_name = "DIR[,DIR…]",
        value_parser = absolute
    )]
    pub command_folders: Vec<PathBuf>,
    /// MiB of memory that a command may use with all that it starts, files in its temporary folders included: git, the
    /// devcontainer CLI, `initializeCommand`
    #[arg(long, env = "HEARTH_COMMAND_MEMORY_MIB", default_value = "4096", value_name = "MIB", value_parser = clap::value_parser!(u64).range(256..=1 << 24))]
    pub command_memory_mib: u64,
    /// Processes and threads that a command may have with all that it starts
    #[arg(long, env = "HEARTH_COMMAND_PROCESSES", default_value = "4096", value_name = "PROCESSES", value_parser = clap::value_parser!(u64).range(64..=1 << 22))]
    pub command_processes: u64,
    /// Mirror that images of the cache at a registry are fetched from first, without the registry's login; the registry
    /// has what the mirror does not have. Where Docker pulls, its own mirrors count
    #[arg(
        long,
        env = "HEARTH_REGISTRY_MIRROR",
        value_delimiter = ',',
        value_name = "HOST=URL[,…]"
    )]
    pub registry_mirror: Vec<Mirror>,
    /// What it has to do with other nodes
    #[command(flatten)]
    pub neighbours: NeighbourArgs,
    /// Image for repositories that have no devcontainer, whose devcontainer names no image, or fails
    #[arg(
        long,
        env = "HEARTH_DEFAULT_IMAGE",
        default_value = "mcr.microsoft.com/devcontainers/base:debian",
        value_name = "IMAGE"
    )]
    pub default_image: String,
    /// Hours after which the default images are looked at again, its own and those that the control plane names; they are
    /// fetched when the agent has started, in the background; with 0 none is fetched before it is needed
    #[arg(long, env = "HEARTH_DEFAULT_IMAGE_REFRESH_HOURS", default_value = "24", value_name = "HOURS", value_parser = clap::value_parser!(u32).range(0..=8_760))]
    pub default_image_refresh_hours: u32,
    /// MiB of free disk that an attempt needs to start, and that the push of its image leaves free
    #[arg(
        long,
        env = "HEARTH_MIN_FREE_DISK_MIB",
        default_value = "2048",
        value_name = "MIB"
    )]
    pub min_free_disk_mib: u64,
    /// Percent of free disk below which images of the cache that nothing uses are removed from the engine, the least
    /// recently used first, and after them BuildKit's cache; with 0 nothing is ever removed
    #[arg(long, env = "HEARTH_IMAGE_GC_FREE_DISK_PERCENT", default_value = "15", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_free_disk_percent: u8,
    /// Percent of the disk that is freed in addition, so that the next image does not fill it again
    #[arg(long, env = "HEARTH_IMAGE_GC_HEADROOM_PERCENT", default_value = "5", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub image_gc_headroom_percent: u8,
    /// Minutes for which BuildKit's cache is kept after its last use, even if the disk is full
    #[arg(
        long,
        env = "HEARTH_BUILD_CACHE_KEEP_MINUTES",
        default_value = "60",
        value_name = "MINUTES"
    )]
    pub build_cache_keep_minutes: u32,
    /// Attempts that may run at once, those that only push included; more are placed on other nodes
    #[arg(long, env = "HEARTH_MAX_ATTEMPTS", default_value_t = 100, value_name = "ATTEMPTS", value_parser = max_attempts)]
    pub max_attempts: usize,
    /// Sessions that may be open in the node's workspaces at once: commands, SSH connections and connections to ports; a
    /// workspace may have half of them
    #[arg(long, env = "HEARTH_MAX_SESSIONS", default_value_t = 256, value_name = "SESSIONS", value_parser = max_sessions)]
    pub max_sessions: usize,
    /// Days for which a workspace stays that its control plane does not know any more, for example after a backup was
    /// restored; they count while the agent hears from that control plane. What another control plane had prepared stays
    #[arg(long, env = "HEARTH_QUARANTINE_DAYS", default_value = "7", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub quarantine_days: u32,
    /// Seconds that the push of an attempt's image may take
    #[arg(long, env = "HEARTH_PUSH_TIMEOUT_SECONDS", default_value = "1800", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub push_timeout_seconds: u64,
    /// Percent of the attempts with an exact hit, and the right to write to the cache, whose image is audited after they
    /// are ready: the same image is built from the build cache that came with it, and dropped from the cache if BuildKit
    /// executes a step or makes another configuration. Images that other versions of engine or CLI have built are not audited
    #[arg(long, env = "HEARTH_CACHE_AUDIT_PERCENT", default_value = "1", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub cache_audit_percent: u8,
    /// Which attempts may use files, devices, network and privileges of this node. A workspace's `initializeCommand` is
    /// one of these uses
    #[arg(
        long,
        env = "HEARTH_HOST_ACCESS",
        default_value = "trusted",
        value_name = "WHO"
    )]
    pub host_access: HostAccess,
    /// Single uses that every attempt may make: initialize-command, privileged, docker-socket, bind-mounts:/PATH,
    /// host-network, host-ports, devices, gpus
    #[arg(
        long,
        env = "HEARTH_OPEN_DOORS",
        value_delimiter = ',',
        value_name = "DOOR[,DOOR…]"
    )]
    pub open_doors: Vec<Door>,
    /// Where the clones of workspaces are: in volumes of the engine, or in folders of --workspaces-dir, which the engine mounts as
    /// volumes; it counts for workspaces that are prepared from now on
    #[arg(
        long,
        env = "HEARTH_WORKSPACE_STORAGE",
        value_enum,
        default_value = "volume",
        value_name = "WHERE"
    )]
    pub workspace_storage: Storage,
    /// Folder of the clones with --workspace-storage bind, on a local disk [default: clones in --state-dir]
    #[arg(long, env = "HEARTH_WORKSPACES_DIR", value_name = "DIR")]
    pub workspaces_dir: Option<PathBuf>,
    /// File that is written when the agent serves: JSON with its addresses
    #[arg(long, env = "HEARTH_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Which addresses it may listen on
    #[command(flatten)]
    pub listening: ListenArgs,
    /// What callers may ask of it; the control plane is not limited
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How it logs
    #[command(flatten)]
    pub logging: LogArgs,
}

/// Where the clones of workspaces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    /// In volumes of the engine.
    Volume,
    /// In folders of the node.
    Bind,
}

impl Config {
    /// The folder of the clones; `None`: they are in volumes of the engine.
    pub fn clones(&self) -> std::io::Result<Option<PathBuf>> {
        match self.workspace_storage {
            Storage::Volume => Ok(None),
            Storage::Bind => {
                let default = || self.state_dir.join("clones");
                let folder = self.workspaces_dir.clone().unwrap_or_else(default);
                std::path::absolute(folder).map(Some)
            }
        }
    }

    /// See `push_timeout_seconds`.
    pub fn push_timeout(&self) -> Duration {
        Duration::from_secs(self.push_timeout_seconds)
    }

    /// See `default_image_refresh_hours`.
    pub fn default_image_refresh(&self) -> Duration {
        Duration::from_secs(u64::from(self.default_image_refresh_hours) * 3600)
    }

    /// See `quarantine_days`.
    pub fn quarantine(&self) -> Duration {
        Duration::from_secs(u64::from(self.quarantine_days) * 24 * 3600)
    }

    /// What a command may use.
    pub fn command_limits(&self) -> Limits {
        Limits {
            memory_mib: self.command_memory_mib,
            processes: self.command_processes,
        }
    }

    /// What attempts may ask of the node.
    pub fn policy(&self) -> Policy {
        Policy {
            host_access: self.host_access,
            open_doors: self.open_doors.clone().into(),
        }
    }

    /// When and how much disk is freed.
    pub fn disk_watermarks(&self) -> Watermarks {
        Watermarks {
            free_percent: self.image_gc_free_disk_percent,
            headroom_percent: self.image_gc_headroom_percent,
            keep_build_cache: Duration::from_secs(u64::from(self.build_cache_keep_minutes) * 60),
        }
    }
}

fn control_plane(text: &str) -> Result<Endpoint, String> {
    let malformed = || "must be https://HOST:PORT, without a path".to_owned();
    let endpoint: Endpoint = text.parse().map_err(|_| malformed())?;
    let uri = endpoint.uri();
    let authority = uri.authority().ok_or_else(malformed)?;
    if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
        return Err(malformed());
    }
    match uri.scheme_str() {
        Some("https") => Ok(endpoint),
        Some("http") if is_loopback(authority.as_str()) => Ok(endpoint),
        Some("http") => Err(
            "must be https://HOST:PORT: without TLS only a control plane on this machine is called"
                .to_owned(),
        ),
        _ => Err(malformed()),
    }
}

fn max_attempts(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be a number of attempts, at least 1".to_owned())
}

fn max_sessions(text: &str) -> Result<usize, String> {
    // As many as may be unread without holding up other calls.
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=256).contains(number));
    number.ok_or_else(|| "must be a number of sessions, 1 to 256".to_owned())
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let good = path.is_absolute().then_some(path);
    good.ok_or_else(|| "must be an absolute path".to_owned())
}

fn docker_host(text: &str) -> Result<String, String> {
    if text.starts_with("unix:///") {
        Ok(text.to_owned())
    } else {
        Err("must be unix:// and the absolute path of a socket: the agent works with the engine of its own node".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_flag_is_a_variable() {
        let command = Config::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long() else {
                continue;
            };
            if matches!(long, "help" | "version") {
                continue;
            }
            let expected = format!("HEARTH_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(
                argument.get_env().and_then(|env| env.to_str()),
                Some(expected.as_str())
            );
            assert!(argument.get_help().is_some(), "--{long} has no help");
        }
    }

    #[test]
    fn a_value_with_which_the_node_could_never_register_is_refused() {
        let parse = |flag: &str, value: &str| {
            let node = ["--node-name", "n"];
            let node = if flag == node[0] { &[][..] } else { &node[..] };
            let command = ["x", flag, value].into_iter().chain(node.iter().copied());
            Config::try_parse_from(command).map_err(|error| error.to_string())
        };
        for (flag, good) in [
            ("--control-plane", "http://127.0.0.1:7400"),
            ("--control-plane", "http://localhost:7400/"),
            ("--control-plane", "http://[::1]:7400"),
            ("--control-plane", "https://plane:7400"),
            ("--control-plane", "https://10.0.0.7"),
            ("--node-name", "node-7.rack-2"),
        ] {
            assert!(parse(flag, good).is_ok(), "{flag} {good}");
        }
        for (flag, bad) in [
            ("--control-plane", "127.0.0.1:7400"),
            ("--control-plane", "plane"),
            ("--control-plane", "http://plane:7400"),
            ("--control-plane", "http://10.0.0.7:7400"),
            ("--control-plane", "https://plane:7400/path"),
            ("--control-plane", "https://robot@plane:7400"),
            ("--control-plane", "unix:///run/hearth"),
            ("--control-plane", ""),
            ("--node-name", "Node 1"),
            ("--node-name", ""),
            ("--node-name", &"x".repeat(64)),
        ] {
            let error = parse(flag, bad).unwrap_err();
            assert!(
                error.contains(flag) && error.contains("must "),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn an_engine_on_another_machine_is_refused() {
        let parsed =
            Config::try_parse_from(["x", "--node-name", "n", "--docker-host", "tcp://other:2375"]);
        assert!(parsed.unwrap_err().to_string().contains("--docker-host"));
    }
}
