use clap::{Args, ValueEnum};
use hearth_api::v1::{CacheAccess, CloneDepth, Fallback, WatchUntil};
use hearth_domain::{GitAuthor, GitRef, Label, SparsePaths, WorkspaceId, WorkspaceOwner};

use super::{
    common::{ConfigArg, ReconnectArgs},
    life::LifetimeArgs,
    values::{Optional, Seconds, parsed},
};
use crate::local_clone::Source;

/// Largest time limit of the contract, in seconds.
const MAX_TIMEOUT: u32 = 14_400;

/// Arguments of `hearth up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// URL of the repository: https, http, ssh, git, or git@host:owner/name; or the folder of a clone (., ./NAME, /PATH), which
    /// stands for its remote, its branch and its author
    #[arg(
        value_name = "REPO",
        required_unless_present = "workspace",
        value_parser = parsed::<Source>()
    )]
    pub repository: Option<Source>,
    /// Branch, tag or commit hash, of 7 digits at least [default: the repository's default branch, or that of the clone]
    #[arg(
        long = "ref",
        value_name = "REF",
        default_value = "",
        hide_default_value = true,
        value_parser = parsed::<GitRef>(),
        allow_hyphen_values = true
    )]
    pub git_ref: GitRef,
    /// How much of the history is cloned [default: blobless]
    #[arg(long, value_enum)]
    pub clone: Option<Depth>,
    /// Check out these folders alone, with commas between them, and the files above them [default: everything]
    #[arg(
        long,
        value_name = "FOLDER[,FOLDER…]",
        default_value = "",
        hide_default_value = true,
        value_parser = parsed::<SparsePaths>()
    )]
    pub sparse: SparsePaths,
    /// Who commits in the workspace, as `NAME <EMAIL>` [default: nobody, or who commits in the clone]
    #[arg(
        long,
        value_name = "AUTHOR",
        default_value = "",
        hide_default_value = true,
        value_parser = parsed::<Optional<GitAuthor>>()
    )]
    pub author: Optional<GitAuthor>,
    /// The configuration
    #[command(flatten)]
    pub config: ConfigArg,
    /// Name of the node to use [default: the least loaded]
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub node: String,
    /// Ignore the repository's devcontainer and use the default image
    #[arg(long)]
    pub lightweight: bool,
    /// Access to the repository's cache [default: read-write]
    #[arg(long, value_enum)]
    pub cache: Option<Cache>,
    /// Seconds after which an attempt that is not ready fails [default: 1800, at most 14400]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = parsed::<Seconds<MAX_TIMEOUT>>(),
        allow_hyphen_values = true
    )]
    pub timeout: Option<Seconds<MAX_TIMEOUT>>,
    /// What the workspace becomes if its own devcontainer fails [default: default-image]
    #[arg(long, value_enum)]
    pub fallback: Option<FallbackArg>,
    /// Idempotency key: repeating the command with the same id finds the same workspace [default: a random id]
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub request_id: Option<String>,
    /// A label to find it by; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parsed::<Label>())]
    pub labels: Vec<Label>,
    /// Who it belongs to; only an admin may name another than itself [default: the client that calls]
    #[arg(long, value_name = "NAME", value_parser = parsed::<WorkspaceOwner>())]
    pub owner: Option<WorkspaceOwner>,
    /// How long it may run
    #[command(flatten)]
    pub lifetime: LifetimeArgs,
    /// Prepare this existing workspace again, with its own spec and on its own node
    #[arg(
        long,
        value_name = "ID",
        value_parser = parsed::<WorkspaceId>(),
        allow_hyphen_values = true,
        conflicts_with_all = [
            "repository", "git_ref", "clone", "sparse", "author", "config", "node", "lightweight", "cache", "timeout", "fallback",
            "labels", "owner", "ttl", "idle_timeout", "ttl_action"
        ]
    )]
    pub workspace: Option<WorkspaceId>,
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

/// How much of the history is cloned.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Depth {
    /// All commits, and the contents of files when they are needed.
    Blobless,
    /// The commit that is checked out.
    Shallow,
    /// Everything.
    Full,
}

impl From<Depth> for CloneDepth {
    fn from(depth: Depth) -> Self {
        match depth {
            Depth::Blobless => Self::Blobless,
            Depth::Shallow => Self::Shallow,
            Depth::Full => Self::Full,
        }
    }
}

/// What an attempt may do with the cache.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Cache {
    /// Fetch and push.
    ReadWrite,
    /// Fetch only.
    ReadOnly,
    /// Do not use it.
    Off,
}

impl From<Cache> for CacheAccess {
    fn from(cache: Cache) -> Self {
        match cache {
            Cache::ReadWrite => Self::ReadWrite,
            Cache::ReadOnly => Self::ReadOnly,
            Cache::Off => Self::Off,
        }
    }
}

/// Arguments of `hearth rebuild`.
#[derive(Args, Debug)]
pub struct RebuildArgs {
    /// Id of the workspace
    #[arg(value_name = "ID", value_parser = parsed::<WorkspaceId>(), allow_hyphen_values = true)]
    pub workspace: WorkspaceId,
    /// Build the image without reading the cache
    #[arg(long)]
    pub no_cache: bool,
    /// Replace the clone as well: what was not pushed is lost
    #[arg(long)]
    pub fresh_clone: bool,
    /// Idempotency key: repeating the command with the same id begins no second attempt [default: a random id]
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub request_id: Option<String>,
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

/// What a workspace becomes if its own devcontainer fails.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FallbackArg {
    /// It runs the default image.
    DefaultImage,
    /// It runs the newest image that the cache has of its ref, else of the default branch; without one the default image.
    LastGood,
    /// It has failed.
    None,
}

impl From<FallbackArg> for Fallback {
    fn from(fallback: FallbackArg) -> Self {
        match fallback {
            FallbackArg::DefaultImage => Self::DefaultImage,
            FallbackArg::LastGood => Self::LastGood,
            FallbackArg::None => Self::None,
        }
    }
}

/// When to stop watching.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Until {
    /// At READY, RECOVERY or FAILED.
    Ready,
    /// When the hooks have run too that READY does not wait for; a server in a hook is left running.
    #[default]
    Hooks,
    /// When the background push has ended too.
    Settled,
}

impl From<Until> for WatchUntil {
    fn from(until: Until) -> Self {
        match until {
            Until::Ready => Self::Ready,
            Until::Hooks => Self::Hooks,
            Until::Settled => Self::Settled,
        }
    }
}
