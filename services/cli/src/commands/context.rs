use std::{cell::RefCell, time::SystemTime};

use hearth_domain::Name;
use prost::Message;
use prost_types::Timestamp;
use tonic::{Response, Status};

use crate::{
    args::{Cli, Command, ConnectionArgs, Output},
    connect::{Channel, connect},
    contexts::Contexts,
    error::CliError,
    json::Json,
    out,
    target::Target,
};

/// What every command works with.
pub(crate) struct Context {
    pub(crate) target: Target,
    /// The context that the command line names.
    pub(super) named: Option<Name>,
    /// What the command line says of the connection.
    pub(super) connection: ConnectionArgs,
    /// Set when stdout is JSON.
    pub(super) json: Option<Json>,
    /// What to print when the user interrupts the command.
    pub(crate) on_interrupt: RefCell<Option<String>>,
}

impl Context {
    pub(crate) fn new(cli: &Cli) -> Result<Self, CliError> {
        let json = match cli.output {
            Output::Text => None,
            Output::Json => Some(Json::new().map_err(CliError::Local)?),
        };
        let connection = &cli.connection;
        let target = match &cli.command {
            Command::Login { control_plane } => Target::of_login(connection, control_plane)?,
            Command::Context { .. } => Target::default()?,
            _ => Target::chosen(connection, &Contexts::read()?)?,
        };
        Ok(Self {
            target,
            named: connection.context.clone(),
            connection: connection.clone(),
            json,
            on_interrupt: RefCell::default(),
        })
    }

    pub(super) async fn connect(&self) -> Result<Channel, CliError> {
        connect(&self.target).await
    }

    /// The message of a response, or the error of the call.
    pub(super) fn answer<T>(&self, response: Result<Response<T>, Status>) -> Result<T, CliError> {
        response
            .map(Response::into_inner)
            .map_err(|status| CliError::call(&self.target.address, status))
    }

    /// Prints a message on stdout: as JSON, or as the text that `render` makes of it.
    pub(super) fn show<M: Message + prost::Name>(
        &self,
        message: &M,
        render: impl FnOnce(&M) -> String,
    ) -> Result<(), CliError> {
        match &self.json {
            Some(json) => json.print(message),
            None => out::print(&render(message)),
        }
    }
}

/// The time against which ages are shown.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}
