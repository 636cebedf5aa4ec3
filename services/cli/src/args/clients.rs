use clap::Subcommand;
use hearth_domain::{Name, RepositoryPatterns, Scopes};

use super::{
    common::WideArg,
    values::{Whole, parsed},
};

/// Ten years.
const MAX_DAYS: u64 = 3650;

/// A command about clients of the control plane.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Make a client and print its token, which cannot be printed again
    Create {
        /// Its name: at most 63 lower-case letters, digits, dashes and dots
        #[arg(id = "name", value_name = "NAME", value_parser = parsed::<Name>())]
        client: Name,
        /// What it may do: read, prepare, exec, admin, with commas between them
        #[arg(long, value_name = "SCOPES", value_parser = parsed::<Scopes>())]
        scopes: Scopes,
        /// Patterns of the repositories that it is limited to, as HOST/OWNER/NAME with * and ? [default: all repositories]
        #[arg(
            long,
            value_name = "PATTERN[,PATTERN…]",
            default_value = "",
            hide_default_value = true,
            value_parser = parsed::<RepositoryPatterns>()
        )]
        repositories: RepositoryPatterns,
        /// Days until it ends [default: it does not end by itself]
        #[arg(
            long,
            value_name = "DAYS",
            default_value_t = Whole(0),
            hide_default_value = true,
            value_parser = parsed::<Whole<MAX_DAYS>>()
        )]
        days: Whole<MAX_DAYS>,
    },
    /// List clients, newest first
    Ls {
        /// How they are shown
        #[command(flatten)]
        wide: WideArg,
    },
    /// Revoke a client: its token, its certificates, and its open streams
    Revoke {
        /// Its name
        #[arg(id = "name", value_name = "NAME", value_parser = parsed::<Name>())]
        client: Name,
    },
}

/// A command about the control planes that were logged in to.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List them; the one in use has a star
    Ls,
    /// Use another one
    Use {
        /// Its name
        #[arg(id = "used", value_name = "NAME", value_parser = parsed::<Name>())]
        context: Name,
    },
    /// Forget one, with its token; the control plane still knows the token
    Rm {
        /// Its name
        #[arg(id = "removed", value_name = "NAME", value_parser = parsed::<Name>())]
        context: Name,
    },
}
