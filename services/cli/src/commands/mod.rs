//! The commands, each with the calls that it makes.

mod cache;
mod clients;
mod configs;
mod context;
mod display;
mod doctor;
mod enter;
mod lists;
mod live;
mod login;
mod logs;
mod nodes;
mod secrets;
mod tokens;
mod up;
mod workspaces;

use crate::{
    args::{Command, NodesCommand},
    error::CliError,
    exit::Exit,
};

pub(crate) use self::context::Context;

/// Runs a command.
pub(crate) async fn dispatch(context: &Context, command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Up(args) => up::up(context, args).await,
        Command::Rebuild(args) => up::rebuild(context, args).await,
        Command::Configs {
            repository,
            git_ref,
            wide,
        } => configs::configs(context, repository, &git_ref.name, wide.room()).await,
        Command::Logs(args) if args.build => logs::build(context, &args.workspace).await,
        Command::Logs(args) => logs::logs(context, args).await,
        Command::Get { workspace } => workspaces::get(context, workspace).await,
        Command::Ls(args) => workspaces::ls(context, args).await,
        Command::Stop { workspace } => workspaces::stop(context, workspace).await,
        Command::Start(args) => up::start(context, args).await,
        Command::Renew {
            workspace,
            lifetime,
        } => workspaces::renew(context, workspace, *lifetime).await,
        Command::Exec(args) => enter::exec(context, args).await,
        Command::Shell(args) => enter::shell(context, args).await,
        Command::Ssh(args) => enter::ssh(context, args).await,
        Command::SshProxy(args) => enter::ssh_proxy(context, args).await,
        Command::SshConfig(args) => enter::ssh_config(context, args).await,
        Command::Cp(args) => enter::cp(context, args).await,
        Command::PortForward(args) => enter::port_forward(context, args).await,
        Command::Nodes {
            command: None,
            wide,
        } => nodes::nodes(context, wide.room()).await,
        Command::Nodes {
            command: Some(NodesCommand::Rm { node, force }),
            ..
        } => nodes::rm(context, node, *force).await,
        Command::Nodes {
            command:
                Some(NodesCommand::Discard {
                    node,
                    workspaces,
                    all: _,
                }),
            ..
        } => nodes::discard(context, node, workspaces).await,
        Command::Token { command } => tokens::token(context, command).await,
        Command::Cache { command } => cache::cache(context, command).await,
        Command::Doctor {
            repository,
            git_ref,
        } => doctor::doctor(context, repository.as_ref(), git_ref).await,
        Command::Login { control_plane: _ } => login::login(context).await,
        Command::Context { command } => login::context(command),
        Command::Client { command } => clients::clients(context, command).await,
        Command::Secret { command } => secrets::secrets(context, command).await,
        Command::Rm { workspace, force } => workspaces::rm(context, workspace, *force).await,
    }
}
