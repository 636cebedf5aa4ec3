use clap::Subcommand;

use super::values::{Whole, parsed};

/// Hours of a year, and a day more.
const MAX_HOURS: u64 = 8784;
const MAX_USES: u64 = u32::MAX as u64;

/// A command about join tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token with which nodes join, and print it: give it to their agents by --join-token-file
    Create {
        /// How many nodes may join with it; 0: any number
        #[arg(long, value_name = "N", default_value_t = Whole(1), value_parser = parsed::<Whole<MAX_USES>>())]
        uses: Whole<MAX_USES>,
        /// Hours until it expires; 0: 24
        #[arg(long, value_name = "HOURS", default_value_t = Whole(24), value_parser = parsed::<Whole<MAX_HOURS>>())]
        hours: Whole<MAX_HOURS>,
        /// Names of the nodes that may join with it, as a pattern with * and ? [default: any]
        #[arg(
            long,
            value_name = "PATTERN",
            default_value = "",
            hide_default_value = true
        )]
        nodes: String,
        /// What it is for, to be shown by `hearth token ls`
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        description: String,
    },
    /// List the tokens, newest first, without what is secret of them
    Ls,
    /// End a token: no node joins with it any more
    Revoke {
        /// Id of the token, as `hearth token ls` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}
