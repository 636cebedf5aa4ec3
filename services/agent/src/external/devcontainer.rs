//! The devcontainer CLI: what the agent asks of it, and the `devcontainer` command.

mod api;
mod cli;
mod log;

pub use api::{
    BuildRequest, CliWorkspace, Devcontainer, HooksRequest, Started, UpRequest, default_config_path,
};
pub use cli::DevcontainerCli;
