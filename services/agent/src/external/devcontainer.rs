//! The devcontainer CLI: what the agent asks of it, and the `devcontainer` command.

mod api;
mod cli;
mod compose;
mod features;
pub(crate) mod log;
mod on_node;
mod plain;

pub use api::{
    BuildRequest, CliWorkspace, ComposeProject, Devcontainer, HooksRequest, PlainBuild, Started,
    UpFrom, UpRequest, default_config_path,
};
pub use cli::DevcontainerCli;
pub use on_node::{NodeHome, NodeNetwork, NodeRequest};
