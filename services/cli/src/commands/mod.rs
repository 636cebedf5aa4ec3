mod cache;
mod display;
mod doctor;
mod live;
mod logs;
mod simple;
mod up;

use std::cell::{OnceCell, RefCell};

use crate::{
    args::{Cli, Command, Output},
    error::CliError,
    exit::Exit,
    json::{Json, Named},
    out::Out,
};

/// What every command works with.
pub(crate) struct Context<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) out: &'a Out,
    /// What to say when the person at the terminal interrupts the command.
    pub(crate) on_interrupt: &'a OnceCell<RefCell<String>>,
}

/// Does what the command line says.
pub(crate) async fn dispatch(context: &Context<'_>) -> Result<Exit, CliError> {
    match &context.cli.command {
        Command::Up(args) => up::up(context, args).await,
        Command::Logs(args) => logs::logs(context, args).await,
        Command::Get { workspace } => simple::get(context, workspace).await,
        Command::Ls => simple::ls(context).await,
        Command::Nodes => simple::nodes(context).await,
        Command::Cache { command } => cache::cache(context, command).await,
        Command::Doctor {
            repository,
            git_ref,
        } => doctor::doctor(context, repository.as_deref(), &git_ref.name).await,
        Command::Rm { workspace, force } => simple::rm(context, workspace, *force).await,
    }
}

impl Context<'_> {
    fn json(&self) -> Result<Option<Json>, CliError> {
        match self.cli.output {
            Output::Text => Ok(None),
            Output::Json => Json::new().map(Some).map_err(CliError::Local),
        }
    }

    fn print_json<M: Named>(&self, json: &Json, message: &M) -> Result<(), CliError> {
        self.out
            .print(&json.line(message).map_err(CliError::Local)?)
    }
}
