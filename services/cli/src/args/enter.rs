use std::{net::IpAddr, path::PathBuf, str::FromStr};

use clap::Args;
use hearth_domain::WorkspaceId;

use super::values::parsed;

/// Arguments of `hearth exec`.
#[derive(Args, Debug)]
pub struct ExecArgs {
    /// Id of the workspace
    #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>())]
    pub workspace: WorkspaceId,
    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
    /// Pass stdin on to the command, also where it is a terminal and the command has none [default: if stdin is a file or a
    /// pipe, or the command has a terminal]
    #[arg(long, short = 'i')]
    pub stdin: bool,
    /// Give the command a terminal [default: if stdin and stdout are one]
    #[arg(long, short = 't')]
    pub tty: bool,
    /// Give the command no terminal
    #[arg(long, conflicts_with = "tty")]
    pub no_tty: bool,
    /// Whom it runs as
    #[command(flatten)]
    pub as_user: AsUser,
}

/// Whom and where something runs as in a workspace.
#[derive(Args, Debug)]
pub struct AsUser {
    /// User inside the workspace, by name or number [default: the devcontainer's remote user]
    #[arg(
        long,
        short = 'u',
        value_name = "USER",
        default_value = "",
        hide_default_value = true
    )]
    pub user: String,
    /// Folder in which it runs, as an absolute path [default: the workspace's folder]
    #[arg(
        long,
        short = 'w',
        value_name = "FOLDER",
        default_value = "",
        hide_default_value = true
    )]
    pub workdir: String,
    /// Variable to set, in addition to those of the devcontainer; without a value that of this process is taken
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]", value_parser = parsed::<Variable>())]
    pub env: Vec<Variable>,
}

/// A variable for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None`: as in this process.
    pub value: Option<String>,
}

impl FromStr for Variable {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        match name.is_empty() {
            true => Err("must be NAME=VALUE, or NAME"),
            false => Ok(Self {
                name: name.to_owned(),
                value,
            }),
        }
    }
}

/// Arguments of `hearth shell`.
#[derive(Args, Debug)]
pub struct ShellArgs {
    /// Id of the workspace
    #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>())]
    pub workspace: WorkspaceId,
    /// Whom it runs as
    #[command(flatten)]
    pub as_user: AsUser,
}

/// Arguments of `hearth port-forward`.
#[derive(Args, Debug)]
pub struct PortForwardArgs {
    /// Id of the workspace
    #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>())]
    pub workspace: WorkspaceId,
    /// Ports: of this machine and of the workspace, or one for both; 0 or nothing before the colon takes a free one
    #[arg(value_name = "[LOCAL:]REMOTE", required = true, value_parser = parsed::<PortPair>())]
    pub ports: Vec<PortPair>,
    /// Address of this machine to listen at; others than the loopback ones let other machines in
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub address: Vec<IpAddr>,
}

/// A port of this machine and the one of a workspace that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPair {
    /// Of this machine; 0: a free one.
    pub local: u16,
    /// Of the workspace.
    pub remote: u16,
}

impl FromStr for PortPair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be PORT or LOCAL:REMOTE, with numbers up to 65535";
        let (local, remote) = match text.split_once(':') {
            Some(("", remote)) => ("0", remote),
            Some(both) => both,
            None => (text, text),
        };
        let remote: u16 = remote.parse().map_err(|_| WRONG)?;
        let local = local.parse().map_err(|_| WRONG)?;
        match remote {
            0 => Err(WRONG),
            remote => Ok(Self { local, remote }),
        }
    }
}

/// Arguments of `hearth cp`.
#[derive(Args, Debug)]
pub struct CpArgs {
    /// What is copied: a file or a folder here, or ID:PATH in a workspace
    #[arg(value_name = "FROM", value_parser = parsed::<Place>())]
    pub from: Place,
    /// Where to: the name that it gets, or a folder that is there, here or as ID:PATH
    #[arg(value_name = "TO", value_parser = parsed::<Place>())]
    pub to: Place,
    /// User inside the workspace who reads or owns the files [default: the devcontainer's remote user]
    #[arg(
        long,
        short = 'u',
        value_name = "USER",
        default_value = "",
        hide_default_value = true
    )]
    pub user: String,
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here.
    Local(PathBuf),
    /// In a workspace.
    Workspace {
        /// The workspace.
        id: WorkspaceId,
        /// Its path, from the workspace's folder.
        path: String,
    },
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err("must be a path, or ID:PATH");
        }
        let split = text.split_once(':').filter(|(id, _)| !id.contains('/'));
        let place = split.and_then(|(id, path)| Some((id.parse().ok()?, path.to_owned())));
        Ok(match place {
            Some((id, path)) => Self::Workspace { id, path },
            None => Self::Local(text.into()),
        })
    }
}

/// Arguments of `hearth ssh`.
#[derive(Args, Debug)]
pub struct SshArgs {
    /// Id of the workspace
    #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>())]
    pub workspace: WorkspaceId,
    /// Command for the workspace, and options of ssh before it, such as -L 8080:localhost:80
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub arguments: Vec<String>,
}

/// Arguments of `hearth ssh-proxy`.
#[derive(Args, Debug)]
pub struct SshProxyArgs {
    /// Name of the host that ssh connects to: hearth.ID, ID.hearth, or the id of a workspace alone
    #[arg(value_name = "HOST", value_parser = parsed::<SshHost>())]
    pub host: SshHost,
}

/// The name of a workspace for ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshHost {
    /// The workspace.
    pub id: WorkspaceId,
    /// The name.
    pub text: String,
}

impl FromStr for SshHost {
    type Err = <WorkspaceId as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text
            .strip_prefix("hearth.")
            .or_else(|| text.strip_suffix(".hearth"));
        let id = id.unwrap_or(text).parse()?;
        Ok(Self {
            id,
            text: text.to_owned(),
        })
    }
}

/// Arguments of `hearth ssh-config`.
#[derive(Args, Debug)]
pub struct SshConfigArgs {
    /// Write it, and have the configuration of ssh include it
    #[arg(long)]
    pub write: bool,
    /// The configuration of ssh that includes it, with --write [default: ~/.ssh/config]
    #[arg(long, value_name = "FILE", requires = "write")]
    pub file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_two_numbers() {
        let pair = |local, remote| Ok(PortPair { local, remote });
        for (text, expected) in [
            ("80", pair(80, 80)),
            ("8080:80", pair(8080, 80)),
            (":80", pair(0, 80)),
            ("0:80", pair(0, 80)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for wrong in ["", "0", "80:", "80:0", "a", "65536", "1:2:3", "-1"] {
            wrong.parse::<PortPair>().expect_err(wrong);
        }
    }

    #[test]
    fn a_host_of_ssh_names_a_workspace() {
        for text in ["hearth.ws-1", "ws-1.hearth", "ws-1"] {
            let host: SshHost = text.parse().expect("a host");
            assert_eq!(host.id.as_str(), "ws-1");
        }
        for wrong in ["", "hearth.", "a/b", "-x"] {
            wrong.parse::<SshHost>().expect_err(wrong);
        }
    }

    #[test]
    fn a_place_is_here_or_in_a_workspace() {
        let there = Place::Workspace {
            id: "ws-1".parse().expect("an id"),
            path: "a:b".to_owned(),
        };
        assert_eq!("ws-1:a:b".parse(), Ok(there));
        for here in ["a", "./ws-1:a", "/x:y", "UP:a"] {
            assert_eq!(here.parse(), Ok(Place::Local(here.into())));
        }
    }

    #[test]
    fn a_variable_has_a_name() {
        let variable: Variable = "A=b=c".parse().expect("a variable");
        assert_eq!(
            (&*variable.name, variable.value.as_deref()),
            ("A", Some("b=c"))
        );
        assert_eq!("A".parse::<Variable>().expect("a variable").value, None);
        "=b".parse::<Variable>().expect_err("it has no name");
    }
}
