use std::path::PathBuf;

use clap::Subcommand;
use hearth_domain::{RepositoryPattern, SecretName};

use super::{common::WideArg, values::parsed};

/// A command about secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Set a secret; its value is read from standard input, or asked for on a terminal, without the line break at its end
    Set {
        /// Name of the variable: letters, digits and underscores
        #[arg(id = "name", value_name = "NAME", value_parser = parsed::<SecretName>())]
        secret: SecretName,
        /// Pattern of the repositories whose workspaces get it, as HOST/OWNER/NAME with * and ?
        #[arg(long, value_name = "PATTERN", value_parser = parsed::<RepositoryPattern>())]
        repositories: RepositoryPattern,
        /// Read the value from this file; - is standard input
        #[arg(long, value_name = "FILE")]
        value_file: Option<PathBuf>,
        /// Give it to workspaces at all refs, those of pull requests from forks too [default: to refs that may write the cache]
        #[arg(long)]
        all_refs: bool,
    },
    /// List secrets, newest first, without their values
    Ls {
        /// How they are shown
        #[command(flatten)]
        wide: WideArg,
    },
    /// Delete a secret
    Rm {
        /// Its name
        #[arg(id = "name", value_name = "NAME", value_parser = parsed::<SecretName>())]
        secret: SecretName,
        /// Its pattern, as `hearth secret ls` shows it
        #[arg(long, value_name = "PATTERN", value_parser = parsed::<RepositoryPattern>())]
        repositories: RepositoryPattern,
    },
}
