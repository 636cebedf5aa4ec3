//! The command line.

mod cache;
mod clients;
mod common;
mod connection;
mod enter;
mod life;
mod secrets;
mod token;
mod up;
mod values;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hearth_domain::{Repository, WorkspaceId};

use crate::{address::Address, exit};

pub use self::{
    cache::CacheCommand,
    clients::{ClientCommand, ContextCommand},
    common::{ConfigArg, ListedRef, ProbeRef, WideArg},
    connection::ConnectionArgs,
    enter::{
        AsUser, CpArgs, ExecArgs, Place, PortForwardArgs, ShellArgs, SshArgs, SshConfigArgs,
        SshProxyArgs,
    },
    life::{LifetimeArgs, LsArgs},
    secrets::SecretCommand,
    token::TokenCommand,
    up::{RebuildArgs, StartArgs, UpArgs},
    values::Subject,
};
use self::{
    common::ReconnectArgs,
    values::{Whole, parsed},
};

/// Prepare devcontainer workspaces on disposable machines
#[derive(Debug, Parser)]
#[command(name = "hearth", version, after_help = exit::HELP)]
pub struct Cli {
    /// How the control plane is reached
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Format of stdout: text, or proto3 JSON with one message per line
    #[arg(long, value_enum, default_value_t, global = true)]
    pub output: Output,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The format of stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prepare a workspace and show its progress until it is ready
    #[command(after_help = exit::HELP)]
    Up(Box<UpArgs>),
    /// Make a workspace's image and container anew, from the files that its clone has now
    #[command(after_help = exit::HELP)]
    Rebuild(RebuildArgs),
    /// List the devcontainer configurations of a repository, without preparing anything
    Configs {
        /// URL of the repository
        #[arg(value_name = "REPO", value_parser = parsed::<Repository>())]
        repository: Repository,
        /// Its ref
        #[command(flatten)]
        git_ref: ListedRef,
        /// How they are shown
        #[command(flatten)]
        wide: WideArg,
    },
    /// Print the log of a workspace: its events and the output of its commands
    #[command(after_help = exit::HELP)]
    Logs(LogsArgs),
    /// Run a command in a workspace
    #[command(after_help = exit::HELP)]
    Exec(ExecArgs),
    /// Open a shell in a workspace: the one that its user has
    #[command(after_help = exit::HELP)]
    Shell(ShellArgs),
    /// Connect to a workspace by ssh; its image needs no sshd
    #[command(after_help = exit::HELP)]
    Ssh(SshArgs),
    /// Print what ssh, scp, rsync, sftp and editors have to know of workspaces
    SshConfig(SshConfigArgs),
    /// Be the way of ssh to a workspace (its ProxyCommand)
    SshProxy(SshProxyArgs),
    /// Copy a file or a folder into a workspace or out of it
    Cp(CpArgs),
    /// Let programs of this machine connect to ports of a workspace
    PortForward(PortForwardArgs),
    /// Show a workspace
    Get {
        /// Id of the workspace
        #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>(), allow_hyphen_values = true)]
        workspace: WorkspaceId,
    },
    /// List workspaces, newest first
    Ls(LsArgs),
    /// Stop a workspace: its containers end, and all its files stay
    Stop {
        /// Id of the workspace
        #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>(), allow_hyphen_values = true)]
        workspace: WorkspaceId,
    },
    /// Start a workspace again that was stopped, and show its progress until it is ready
    #[command(after_help = exit::HELP)]
    Start(StartArgs),
    /// Begin the time to live and the idle time of a workspace anew, and change how long they are
    Renew {
        /// Id of the workspace
        #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>(), allow_hyphen_values = true)]
        workspace: WorkspaceId,
        /// How long it may run; what is not given stays as it is
        #[command(flatten)]
        lifetime: LifetimeArgs,
    },
    /// List nodes, remove one, or remove workspaces from one that are in quarantine there
    #[command(args_conflicts_with_subcommands = true)]
    Nodes {
        /// The command [default: list]
        #[command(subcommand)]
        command: Option<NodesCommand>,
        /// How they are shown
        #[command(flatten)]
        wide: WideArg,
    },
    /// Make, list and revoke tokens with which nodes join
    Token {
        /// The command
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Inspect and prune the image cache
    Cache {
        /// The command
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Check the control plane, its nodes, and access to a repository and its cache
    #[command(after_help = exit::HELP)]
    Doctor {
        /// URL of a repository [default: check only the control plane and its nodes]
        #[arg(value_name = "REPO", value_parser = parsed::<Repository>())]
        repository: Option<Repository>,
        /// Its ref
        #[command(flatten)]
        git_ref: ProbeRef,
    },
    /// Check a token at a control plane, and use both from now on
    Login {
        /// Address of the control plane, as https://HOST:PORT, or http://HOST:PORT for a loopback address
        #[arg(id = "url", value_name = "URL", value_parser = parsed::<Address>())]
        control_plane: Address,
    },
    /// List the control planes that were logged in to, use another one, or forget one
    Context {
        /// The command
        #[command(subcommand)]
        command: ContextCommand,
    },
    /// Make, list and revoke clients: who may call the control plane, and what they may do
    Client {
        /// The command
        #[command(subcommand)]
        command: ClientCommand,
    },
    /// Set, list and delete secrets: variables of the environment of some repositories' workspaces
    Secret {
        /// The command
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// Delete a workspace: its container, its volume and its log
    Rm {
        /// Id of the workspace
        #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>(), allow_hyphen_values = true)]
        workspace: WorkspaceId,
        /// Delete it even if its node does not answer; container and volume then stay on the node
        #[arg(long)]
        force: bool,
    },
}

/// A command about nodes.
#[derive(Debug, Subcommand)]
pub enum NodesCommand {
    /// Remove a node that is not needed any more
    Rm {
        /// Name of the node
        #[arg(value_name = "NAME")]
        node: String,
        /// Remove it even if it is online or has workspaces; an agent that still runs registers it again
        #[arg(long)]
        force: bool,
    },
    /// Remove workspaces from a node that the control plane does not know: container, volume, and what was not pushed
    Discard {
        /// Name of the node
        #[arg(value_name = "NAME")]
        node: String,
        /// Ids of the workspaces, as `hearth nodes` lists them
        #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>(), required_unless_present = "all")]
        workspaces: Vec<WorkspaceId>,
        /// All that are in quarantine on the node
        #[arg(long, conflicts_with = "workspaces")]
        all: bool,
    },
}

/// Arguments of `hearth logs`.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// Id of the workspace
    #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>(), allow_hyphen_values = true)]
    pub workspace: WorkspaceId,
    /// Begin after the event with this sequence number
    #[arg(
        long,
        value_name = "SEQUENCE",
        default_value_t = Whole(0),
        value_parser = parsed::<Whole<{ u64::MAX }>>(),
        allow_hyphen_values = true
    )]
    pub after: Whole<{ u64::MAX }>,
    /// Continue until the workspace has settled: it failed, or its background push has ended
    #[arg(long, short)]
    pub follow: bool,
    /// Print the whole output of the last image build instead, as its node has kept it
    #[arg(long, conflicts_with_all = ["after", "follow"])]
    pub build: bool,
    /// Reconnecting
    #[command(flatten)]
    pub reconnect: ReconnectArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn up(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["hearth", "up"], arguments].concat())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_existing_workspace_takes_no_spec() {
        assert!(up(&["--workspace", "w"]).is_ok());
        assert!(up(&[]).is_err());
        assert!(up(&["https://git.example/a", "--workspace", "w"]).is_err());
        assert!(up(&["--workspace", "w", "--ref", "main"]).is_err());
        assert!(up(&["--workspace", "w", "--cache", "off"]).is_err());
        assert!(up(&["--workspace", "w", "--until", "settled"]).is_ok());
    }

    #[test]
    fn a_refused_value_is_named_by_its_argument_and_an_empty_one_is_left_out() {
        const REPOSITORY: &str = "https://git.example/a";
        for (arguments, message) in [
            (
                &["https://robot:planted@git.example/a"][..],
                "REPO '…@git.example/a' carries a user name or password",
            ),
            (
                &[REPOSITORY, "--config", "../x"],
                "--config '../x' must be the name of one folder",
            ),
            (&[REPOSITORY, "--ref", "-x"], "--ref '-x' must not start"),
            (
                &[REPOSITORY, "--timeout", "14401"],
                "--timeout '14401' must be a number of seconds from 1 to 14400",
            ),
            (
                &["--workspace", "-w"],
                "--workspace '-w' must be 1 to 63 lower-case",
            ),
            (
                &[REPOSITORY, "--control-plane", "http://a"],
                "--control-plane 'http://a' is not encrypted",
            ),
        ] {
            let refusal = up(arguments).map(|_| message).unwrap_err().to_string();
            assert!(
                refusal.starts_with(&format!("error: {message}")),
                "{refusal}"
            );
            assert!(!refusal.contains("planted"), "{refusal}");
        }
        assert!(up(&[REPOSITORY, "--config", "", "--ref", ""]).is_ok());
    }
}
