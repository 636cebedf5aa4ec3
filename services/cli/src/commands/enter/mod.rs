//! Entering a workspace.

mod cp;
mod exec;
mod ports;
mod sftp;
mod ssh;
mod ssh_config;
mod stdio;
mod terminal;

use hearth_api::v1::workspace_service_client::WorkspaceServiceClient;

use crate::{commands::Context, connect::Channel, error::CliError};

pub(super) use cp::cp;
pub(super) use exec::{exec, shell};
pub(super) use ports::port_forward;
pub(super) use ssh::{ssh, ssh_proxy};
pub(super) use ssh_config::ssh_config;

async fn client(context: &Context) -> Result<WorkspaceServiceClient<Channel>, CliError> {
    Ok(WorkspaceServiceClient::new(context.connect().await?))
}
