//! What an attempt may ask of its node, beyond its own containers, its own volume and the network.
//!
//! [`Policy`] is the node's setting; an attempt gets what it [allows](Policy::allow). Whoever meets a request for something of the node
//! asks here, leaves out what is not allowed, and warns with [`Allowed::refusal`].

use std::{
    fmt,
    path::{Component, Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use clap::ValueEnum;
use hearth_api::v1;

/// Which attempts may ask for anything of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostAccess {
    /// None
    Never,
    /// Those at refs that may write to their repository's cache
    Trusted,
    /// All, those of forks too
    Always,
}

impl HostAccess {
    /// What the control plane says about a repository; `None` if it leaves that to the node.
    pub fn of_request(value: v1::HostAccess) -> Option<Self> {
        match value {
            v1::HostAccess::Unspecified => None,
            v1::HostAccess::Never => Some(Self::Never),
            v1::HostAccess::Trusted => Some(Self::Trusted),
            v1::HostAccess::Always => Some(Self::Always),
        }
    }
}

/// A single thing of the node that a repository can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// `initializeCommand`, which runs outside of containers.
    InitializeCommand,
    /// Privileged containers, and whatever amounts to the same: capabilities, security options, namespaces and control
    /// groups of the node, other runtimes.
    Privileged,
    /// The engine's socket.
    DockerSocket,
    /// Files of the node at this path and below it.
    BindMounts(PathBuf),
    /// The node's network, and with it all that listens on loopback addresses.
    HostNetwork,
    /// Ports of the node that lead to a container.
    HostPorts,
    /// Devices, but for GPUs.
    Devices,
    /// GPUs.
    Gpus,
}

/// The text names no door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be initialize-command, privileged, docker-socket, bind-mounts:/PATH, host-network, host-ports, devices or gpus"
)]
pub struct DoorParseError;

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InitializeCommand => "initialize-command",
            Self::Privileged => "privileged",
            Self::DockerSocket => "docker-socket",
            Self::BindMounts(path) => return write!(f, "bind-mounts:{}", path.display()),
            Self::HostNetwork => "host-network",
            Self::HostPorts => "host-ports",
            Self::Devices => "devices",
            Self::Gpus => "gpus",
        })
    }
}

impl FromStr for Door {
    type Err = DoorParseError;

    fn from_str(text: &str) -> Result<Self, DoorParseError> {
        Ok(match text {
            "initialize-command" => Self::InitializeCommand,
            "privileged" => Self::Privileged,
            "docker-socket" => Self::DockerSocket,
            "host-network" => Self::HostNetwork,
            "host-ports" => Self::HostPorts,
            "devices" => Self::Devices,
            "gpus" => Self::Gpus,
            _ => {
                let path = text.strip_prefix("bind-mounts:").map(Path::new);
                let path = path.filter(|path| path.is_absolute() && is_plain(path));
                Self::BindMounts(path.ok_or(DoorParseError)?.to_owned())
            }
        })
    }
}

/// Whether the path names what it seems to name, without `..`.
fn is_plain(path: &Path) -> bool {
    !path
        .components()
        .any(|part| matches!(part, Component::ParentDir))
}

/// The node's setting.
#[derive(Clone, Debug)]
pub struct Policy {
    /// To whom all doors are open.
    pub host_access: HostAccess,
    /// The doors that are open to everybody.
    pub open_doors: Arc<[Door]>,
}

impl Policy {
    /// What an attempt may ask for. `trusted`: its ref may write to the repository's cache. `of_repository`: what the control
    /// plane says about the repository, which a node that says never does not follow.
    pub fn allow(&self, trusted: bool, of_repository: Option<HostAccess>) -> Allowed {
        let host_access = match self.host_access {
            HostAccess::Never => HostAccess::Never,
            own => of_repository.unwrap_or(own),
        };
        let everything = match host_access {
            HostAccess::Never => false,
            HostAccess::Trusted => trusted,
            HostAccess::Always => true,
        };
        Allowed {
            everything,
            doors: self.open_doors.clone(),
        }
    }
}

/// What an attempt may ask of its node.
#[derive(Clone, Debug)]
pub struct Allowed {
    everything: bool,
    doors: Arc<[Door]>,
}

impl Allowed {
    /// Whether the attempt may ask for everything.
    pub fn everything(&self) -> bool {
        self.everything
    }

    /// Whether a door is open. For [`Door::BindMounts`]: whether the path is one that is open, or below it. Whoever asks
    /// has resolved the path's links.
    pub fn is_open(&self, door: &Door) -> bool {
        self.everything
            || self.doors.iter().any(|open| match (open, door) {
                (Door::BindMounts(open), Door::BindMounts(asked)) => {
                    is_plain(asked) && asked.starts_with(open)
                }
                (open, asked) => open == asked,
            })
    }

    /// The warning about something that is left out. `what` names the property and its value.
    pub fn refusal(&self, what: impl fmt::Display, door: &Door) -> String {
        format!("{what} is left out: {}", self.why_closed(door))
    }

    /// Why something is left out.
    pub fn why_closed(&self, door: &Door) -> String {
        format!("this node does not open {door} to this ref (--host-access, --open-doors)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(host_access: HostAccess, doors: &[&str]) -> Policy {
        Policy {
            host_access,
            open_doors: doors.iter().map(|door| door.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn doors_are_open_to_those_that_the_operator_means() {
        use HostAccess::{Always, Never, Trusted};
        for (node, repository, trusted, expected) in [
            (Never, None, true, false),
            (Never, Some(Always), true, false),
            (Trusted, None, true, true),
            (Trusted, None, false, false),
            (Trusted, Some(Always), false, true),
            (Trusted, Some(Never), true, false),
            (Always, None, false, true),
            (Always, Some(Trusted), false, false),
        ] {
            let allowed = policy(node, &[]).allow(trusted, repository);
            assert_eq!(
                allowed.is_open(&Door::Privileged),
                expected,
                "{node:?} {repository:?} {trusted}"
            );
        }
    }

    #[test]
    fn a_single_door_is_open_to_everybody_and_no_other() {
        let allowed =
            policy(HostAccess::Never, &["gpus", "bind-mounts:/srv/data"]).allow(false, None);
        assert!(allowed.is_open(&Door::Gpus));
        assert!(!allowed.is_open(&Door::Devices));
        for (path, open) in [
            ("/srv/data", true),
            ("/srv/data/x", true),
            ("/srv/database", false),
            ("/srv", false),
            ("/srv/data/../x", false),
        ] {
            assert_eq!(
                allowed.is_open(&Door::BindMounts(path.into())),
                open,
                "{path}"
            );
        }
        let warning = allowed.refusal("runArgs: --privileged", &Door::Privileged);
        assert!(
            warning.starts_with("runArgs: --privileged is left out"),
            "{warning}"
        );
    }

    #[test]
    fn doors_are_written_as_they_are_read() {
        for text in [
            "initialize-command",
            "privileged",
            "docker-socket",
            "bind-mounts:/a/b",
            "host-network",
            "host-ports",
            "devices",
            "gpus",
        ] {
            assert_eq!(text.parse::<Door>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "all",
            "bind-mounts:",
            "bind-mounts:a",
            "bind-mounts:/a/../b",
        ] {
            assert_eq!(text.parse::<Door>(), Err(DoorParseError), "{text}");
        }
    }
}
