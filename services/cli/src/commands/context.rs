use std::{cell::RefCell, time::SystemTime};

use prost::{Message, Name};
use prost_types::Timestamp;
use tonic::{Response, Status, transport::Channel};

use crate::{
    address::Address,
    args::{Cli, Output},
    connect::{chosen, connect},
    error::CliError,
    json::Json,
    out,
};

/// What every command works with.
pub(crate) struct Context {
    pub(crate) control_plane: Address,
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
        Ok(Self {
            control_plane: chosen(cli.control_plane.as_ref())?,
            json,
            on_interrupt: RefCell::default(),
        })
    }

    pub(super) async fn connect(&self) -> Result<Channel, CliError> {
        connect(&self.control_plane).await
    }

    /// The message of a response, or the error of the call.
    pub(super) fn answer<T>(&self, response: Result<Response<T>, Status>) -> Result<T, CliError> {
        response
            .map(Response::into_inner)
            .map_err(|status| CliError::call(&self.control_plane, status))
    }

    /// Prints a message on stdout: as JSON, or as the text that `render` makes of it.
    pub(super) fn show<M: Message + Name>(
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
