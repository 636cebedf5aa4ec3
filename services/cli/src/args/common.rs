//! Arguments of several commands.

use std::time::Duration;

use clap::Args;
use hearth_domain::{ConfigName, GitRef};

use super::values::{Optional, Whole, parsed};
use crate::render::table::Room;

/// A day: nobody waits longer.
const MAX_SECONDS: u64 = 86_400;

/// The ref that `doctor` and `cache probe` check.
#[derive(Args, Debug)]
pub struct ProbeRef {
    /// Branch, tag or commit, which decides whether the cache may be written [default: the repository's default branch]
    #[arg(
        id = "git_ref",
        long = "ref",
        value_name = "REF",
        default_value = "",
        hide_default_value = true,
        requires = "repository",
        value_parser = parsed::<GitRef>(),
        allow_hyphen_values = true
    )]
    pub name: GitRef,
}

/// The ref whose configurations are listed.
#[derive(Args, Debug)]
pub struct ListedRef {
    /// Branch, tag or full commit hash [default: the repository's default branch]
    #[arg(
        id = "git_ref",
        long = "ref",
        value_name = "REF",
        default_value = "",
        hide_default_value = true,
        value_parser = parsed::<GitRef>(),
        allow_hyphen_values = true
    )]
    pub name: GitRef,
}

/// A devcontainer configuration of the repository.
#[derive(Args, Debug)]
pub struct ConfigArg {
    /// Name of the configuration, as in .devcontainer/NAME/devcontainer.json, or a folder of the repository that has one of
    /// its own, as services/api; `hearth configs` lists them [default: the one without a name]
    #[arg(
        id = "config",
        long = "config",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        value_parser = parsed::<Optional<ConfigName>>(),
        allow_hyphen_values = true
    )]
    pub name: Optional<ConfigName>,
}

/// Reconnecting after a lost connection.
#[derive(Args, Debug)]
pub struct ReconnectArgs {
    /// Give up reconnecting to the control plane after this time without a new event
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = Whole(60),
        value_parser = parsed::<Whole<MAX_SECONDS>>(),
        allow_hyphen_values = true
    )]
    reconnect_seconds: Whole<MAX_SECONDS>,
}

impl ReconnectArgs {
    /// The limit as a duration.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.reconnect_seconds.0)
    }
}

/// How a list is shown.
#[derive(Args, Clone, Copy, Debug)]
pub struct WideArg {
    /// Show all columns, and long names in full, also where a line gets longer than 100 characters
    #[arg(long)]
    wide: bool,
}

impl WideArg {
    /// The room that a table has.
    pub(crate) fn room(self) -> Room {
        match self.wide {
            true => Room::Wide,
            false => Room::Fitted,
        }
    }
}
