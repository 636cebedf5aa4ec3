use clap::Subcommand;
use hearth_domain::{GitRef, Repository};

use super::{
    common::{ConfigArg, ProbeRef, WideArg},
    values::{Optional, Subject, parsed},
};
use crate::exit;

/// A command for the cache.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List cached images, newest first
    Ls {
        /// Only images of this repository
        #[arg(
            value_name = "REPO",
            default_value = "",
            hide_default_value = true,
            value_parser = parsed::<Optional<Repository>>()
        )]
        repository: Optional<Repository>,
        /// How they are shown
        #[command(flatten)]
        wide: WideArg,
    },
    /// Explain why the image of a workspace was fetched or built, or what the cache has for a repository
    Explain {
        /// Id of a workspace, or URL of a repository
        #[arg(value_name = "WORKSPACE|REPO", value_parser = parsed::<Subject>(), allow_hyphen_values = true)]
        subject: Subject,
        /// For a repository: branch, tag or commit [default: the repository's default branch]
        #[arg(
            long = "ref",
            value_name = "REF",
            default_value = "",
            hide_default_value = true,
            value_parser = parsed::<GitRef>(),
            allow_hyphen_values = true
        )]
        git_ref: GitRef,
        /// The configuration
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Remove images from the cache, so that the next workspace is built again
    Rm {
        /// URL of the repository
        #[arg(value_name = "REPO", value_parser = parsed::<Repository>())]
        repository: Repository,
        /// The configuration
        #[command(flatten)]
        config: ConfigArg,
        /// The images of all configurations
        #[arg(long, conflicts_with = "config")]
        all_configs: bool,
        /// Only the image whose key is, or begins with, these hex digits; at least 8
        #[arg(
            long,
            default_value = "",
            hide_default_value = true,
            allow_hyphen_values = true
        )]
        key: String,
    },
    /// Show hits and misses, saved build time, and the size of the cache
    Stats {
        /// How they are shown
        #[command(flatten)]
        wide: WideArg,
    },
    /// Check images against the registry: whether they are there, are for their keys, and are signed
    #[command(after_help = exit::HELP)]
    Verify {
        /// URL of the repository
        #[arg(value_name = "REPO", value_parser = parsed::<Repository>())]
        repository: Repository,
        /// First sign what is not signed, and push signatures that the registry does not have
        #[arg(long)]
        repair: bool,
    },
    /// Print the key that the cache's entries are signed with, as PEM for `cosign verify --key`
    PublicKey,
    /// Check what preparing a repository needs: a login, and permissions at git host and registry
    #[command(after_help = exit::HELP)]
    Probe {
        /// URL of the repository
        #[arg(value_name = "REPO", value_parser = parsed::<Repository>())]
        repository: Repository,
        /// Its ref
        #[command(flatten)]
        git_ref: ProbeRef,
    },
}
