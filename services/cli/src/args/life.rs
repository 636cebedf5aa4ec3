//! Arguments about the life of workspaces, and of those that find them.

use clap::{Args, ValueEnum};
use hearth_api::v1::{Lifetime, TtlAction, WorkspaceState};
use hearth_domain::{Label, Repository, WorkspaceId};

use super::{
    common::{ReconnectArgs, WideArg},
    up::Until,
    values::{Whole, parsed},
};

const MAX_SECONDS: u64 = u32::MAX as u64;

/// How long a workspace may run.
#[derive(Args, Clone, Copy, Debug)]
pub struct LifetimeArgs {
    /// Seconds that it may run since it was prepared, started or renewed; 0: without end [default: as the control plane says]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = parsed::<Whole<MAX_SECONDS>>(),
        allow_hyphen_values = true
    )]
    ttl: Option<Whole<MAX_SECONDS>>,
    /// Seconds after which it is stopped when nobody uses it; 0: it is not [default: as the control plane says]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = parsed::<Whole<MAX_SECONDS>>(),
        allow_hyphen_values = true
    )]
    idle_timeout: Option<Whole<MAX_SECONDS>>,
    /// What happens at the end of --ttl; what was not pushed is lost with delete [default: stop]
    #[arg(long, value_enum)]
    ttl_action: Option<Action>,
}

/// What happens to a workspace whose time has ended.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// It can be started again.
    Stop,
    /// It is gone, with what was not pushed.
    Delete,
}

impl LifetimeArgs {
    /// The lifetime; `None` where nothing is asked for.
    pub(crate) fn lifetime(self) -> Option<Lifetime> {
        let seconds = |given: Option<Whole<MAX_SECONDS>>| {
            given.map(|seconds| u32::try_from(seconds.0).unwrap_or(u32::MAX))
        };
        let action = match self.ttl_action {
            None => TtlAction::Unspecified,
            Some(Action::Stop) => TtlAction::Stop,
            Some(Action::Delete) => TtlAction::Delete,
        };
        let lifetime = Lifetime {
            ttl_seconds: seconds(self.ttl),
            idle_timeout_seconds: seconds(self.idle_timeout),
            ttl_action: action.into(),
        };
        (lifetime != Lifetime::default()).then_some(lifetime)
    }
}

/// Arguments of `hearth start`.
#[derive(Args, Debug)]
pub struct StartArgs {
    /// Id of the workspace
    #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>(), allow_hyphen_values = true)]
    pub workspace: WorkspaceId,
    /// When to stop watching
    #[arg(long, value_enum, default_value_t)]
    pub until: Until,
    /// Also print the output of the commands
    #[arg(long, short)]
    pub verbose: bool,
    /// Reconnecting
    #[command(flatten)]
    pub reconnect: ReconnectArgs,
}

/// Arguments of `hearth ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// How they are shown
    #[command(flatten)]
    pub wide: WideArg,
    /// Only those in this state; may be given several times
    #[arg(long = "state", value_enum, value_name = "STATE", ignore_case = true)]
    pub states: Vec<State>,
    /// Only those on this node
    #[arg(long, default_value = "", hide_default_value = true)]
    pub node: String,
    /// Only those of this repository, as a URL
    #[arg(long, value_name = "REPO", value_parser = parsed::<Repository>())]
    pub repository: Option<Repository>,
    /// Only those of this owner
    #[arg(long, default_value = "", hide_default_value = true)]
    pub owner: String,
    /// Only those with this label; may be given several times, for all of them
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parsed::<Label>())]
    pub labels: Vec<Label>,
    /// Only the one that was made with this --request-id
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    pub request_id: String,
}

/// States of workspaces.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum State {
    /// Waiting for its node.
    Pending,
    /// Its node works on it.
    Preparing,
    /// It can be used.
    Ready,
    /// It can be used to repair its configuration.
    Recovery,
    /// Its attempt failed.
    Failed,
    /// It is being removed.
    Deleting,
    /// Its node or container is gone.
    Lost,
    /// Its containers are being stopped.
    Stopping,
    /// It can be started again.
    Stopped,
}

impl From<State> for WorkspaceState {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Preparing => Self::Preparing,
            State::Ready => Self::Ready,
            State::Recovery => Self::Recovery,
            State::Failed => Self::Failed,
            State::Deleting => Self::Deleting,
            State::Lost => Self::Lost,
            State::Stopping => Self::Stopping,
            State::Stopped => Self::Stopped,
        }
    }
}
