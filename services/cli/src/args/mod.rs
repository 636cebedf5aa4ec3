//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hearth_api::v1::{CacheAccess, WatchUntil};

use crate::exit;

/// Prepares development workspaces on disposable machines
#[derive(Debug, Parser)]
#[command(name = "hearth", version, after_help = exit::HELP)]
pub struct Cli {
    /// Where the control plane is
    #[arg(
        long,
        value_name = "URL",
        env = "HEARTH_CONTROL_PLANE",
        default_value = "http://127.0.0.1:7400",
        global = true
    )]
    pub control_plane: String,
    /// Text for people, or proto3 JSON, one message a line
    #[arg(long, value_enum, default_value_t, global = true)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The form of what is printed on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prepare a workspace and watch until it is ready
    #[command(after_help = exit::HELP)]
    Up(UpArgs),
    /// Print the log of a workspace: the output of its commands, and what happened
    #[command(after_help = exit::HELP)]
    Logs(LogsArgs),
    /// Show one workspace
    Get {
        /// The workspace
        #[arg(value_name = "ID")]
        workspace: String,
    },
    /// List the workspaces, newest first
    Ls,
    /// List the nodes
    Nodes,
    /// Show, explain and prune the cache of images
    Cache {
        /// What to do
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Find out what does not work: the control plane, its nodes, and access to a repository and its cache
    #[command(after_help = exit::HELP)]
    Doctor {
        /// URL of a repository [default: only the control plane and its nodes]
        #[arg(value_name = "REPO")]
        repository: Option<String>,
        /// Whether the cache may be written
        #[command(flatten)]
        git_ref: WriterRef,
    },
    /// Remove a workspace: its container, its volume, and its log
    Rm {
        /// The workspace
        #[arg(value_name = "ID")]
        workspace: String,
        /// Forget it even when its node does not answer; what is on the node then stays there
        #[arg(long)]
        force: bool,
    },
}

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the images, newest first
    Ls {
        /// Only those of this repository
        #[arg(value_name = "REPO", default_value = "", hide_default_value = true)]
        repository: String,
    },
    /// Tell in plain words why a workspace's image was found or built, or what there is for a repository
    Explain {
        /// A workspace, or the URL of a repository
        #[arg(value_name = "WORKSPACE|REPO")]
        what: String,
        /// Of a repository: branch, tag or commit [default: the repository's default branch]
        #[arg(
            long = "ref",
            value_name = "REF",
            default_value = "",
            hide_default_value = true
        )]
        git_ref: String,
        /// Of a repository: name of the configuration [default: the one without a name]
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        config: String,
    },
    /// Drop images, so that the next workspace builds anew
    Rm {
        /// URL of the repository
        #[arg(value_name = "REPO")]
        repository: String,
        /// Only those of this configuration [default: the one without a name]
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        config: String,
        /// Those of all configurations
        #[arg(long, conflicts_with = "config")]
        all_configs: bool,
        /// Only the one with this key, or with a key that begins so: at least 8 digits
        #[arg(long, default_value = "", hide_default_value = true)]
        key: String,
    },
    /// Show how often the cache helped, and how much it holds
    Stats,
    /// Try what preparing a repository needs: a login, and its rights at git host and registry
    #[command(after_help = exit::HELP)]
    Probe {
        /// URL of the repository
        #[arg(value_name = "REPO")]
        repository: String,
        /// Whether the cache may be written
        #[command(flatten)]
        git_ref: WriterRef,
    },
}

/// The ref of a repository that is looked at.
#[derive(Args, Debug)]
pub struct WriterRef {
    /// Branch, tag or commit: it decides whether the cache may be written [default: the repository's default branch]
    #[arg(
        long = "ref",
        value_name = "REF",
        default_value = "",
        hide_default_value = true,
        requires = "repository"
    )]
    pub name: String,
}

/// Arguments of `hearth up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// URL of the repository: https, http, ssh, git, or git@host:owner/name
    #[arg(value_name = "REPO", required_unless_present = "workspace")]
    pub repository: Option<String>,
    /// Branch, tag or full commit hash [default: the repository's default branch]
    #[arg(
        long = "ref",
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    pub git_ref: String,
    /// The configuration .devcontainer/NAME/devcontainer.json [default: the one without a name]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub config: String,
    /// The node that is to run it [default: the least loaded]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub node: String,
    /// Leave the project's devcontainer aside and use the default image
    #[arg(long)]
    pub lightweight: bool,
    /// What the attempt may do with the repository's cache [default: read-write]
    #[arg(long, value_enum)]
    pub cache: Option<Cache>,
    /// Seconds after which an attempt that is not ready counts as failed [default: 1800, at most 14400]
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub timeout: u32,
    /// Makes the call idempotent: the same id finds the same workspace again [default: a new one]
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Prepare this workspace anew, from its own spec and on its own node
    #[arg(
        long,
        value_name = "ID",
        conflicts_with_all = ["repository", "git_ref", "config", "node", "lightweight", "cache", "timeout"]
    )]
    pub workspace: Option<String>,
    /// When to stop watching: at READY, or when the background push has ended too
    #[arg(long, value_enum, default_value_t)]
    pub until: Until,
    /// Also print what the commands print
    #[arg(long, short)]
    pub verbose: bool,
    /// How long to look for a lost control plane
    #[command(flatten)]
    pub reconnect: ReconnectArgs,
}

/// Arguments of `hearth logs`.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// The workspace
    #[arg(value_name = "ID")]
    pub workspace: String,
    /// Only what came after the event with this sequence
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub after: u64,
    /// Go on until nothing more happens by itself
    #[arg(long, short)]
    pub follow: bool,
    /// How long to look for a lost control plane.
    #[command(flatten)]
    pub reconnect: ReconnectArgs,
}

/// How long to look for a lost control plane.
#[derive(Args, Debug)]
pub struct ReconnectArgs {
    /// Give up a broken stream after this long without anything new
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    reconnect_seconds: u32,
}

impl ReconnectArgs {
    /// The limit as a duration.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.reconnect_seconds.into())
    }
}

/// What an attempt may do with the cache.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Cache {
    /// Fetch and push.
    ReadWrite,
    /// Fetch only.
    ReadOnly,
    /// Leave it alone.
    Off,
}

impl From<Cache> for CacheAccess {
    fn from(cache: Cache) -> Self {
        match cache {
            Cache::ReadWrite => Self::ReadWrite,
            Cache::ReadOnly => Self::ReadOnly,
            Cache::Off => Self::Off,
        }
    }
}

/// When to stop watching.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Until {
    /// At READY, RECOVERY or FAILED.
    #[default]
    Ready,
    /// When nothing more happens by itself.
    Settled,
}

impl From<Until> for WatchUntil {
    fn from(until: Until) -> Self {
        match until {
            Until::Ready => Self::Ready,
            Until::Settled => Self::Settled,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_workspace_to_prepare_anew_takes_no_spec() {
        let parse =
            |arguments: &[&str]| Cli::try_parse_from([&["hearth", "up"], arguments].concat());
        assert!(parse(&["--workspace", "w"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["https://git.example/a", "--workspace", "w"]).is_err());
        assert!(parse(&["--workspace", "w", "--ref", "main"]).is_err());
        assert!(parse(&["--workspace", "w", "--cache", "off"]).is_err());
        assert!(parse(&["--workspace", "w", "--until", "settled"]).is_ok());
    }
}
