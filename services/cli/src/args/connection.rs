use std::path::PathBuf;

use clap::Args;
use hearth_domain::Name;

use super::values::parsed;
use crate::{address::Address, error::CliError};

/// How the control plane is reached. Variables are read by `target`: what clap reads from a variable it shows in the usage of
/// every error.
#[derive(Args, Clone, Debug)]
pub struct ConnectionArgs {
    /// Address of the control plane, as https://HOST:PORT, or http://HOST:PORT for a loopback address [default: that of the
    /// context, that in HEARTH_CONTROL_PLANE, or http://127.0.0.1:7400]
    #[arg(long, value_name = "URL", value_parser = parsed::<Address>(), global = true)]
    pub control_plane: Option<Address>,
    /// A control plane that `hearth login` has saved [default: that in HEARTH_CONTEXT, or the one of the newest `hearth login`
    /// or `hearth context use`]
    #[arg(long, value_name = "NAME", value_parser = parsed::<Name>(), global = true)]
    pub context: Option<Name>,
    /// File with the token that proves who calls; - for stdin [default: that in HEARTH_TOKEN_FILE, or the context's token]
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// File with the certificate of the control plane's CA, as PEM [default: that in HEARTH_CA, or the context's, or those that
    /// the system trusts]
    #[arg(long, value_name = "FILE", global = true)]
    pub ca: Option<PathBuf>,
}

impl ConnectionArgs {
    /// The same as arguments, for a hearth that another program calls.
    pub(crate) fn arguments(&self) -> Result<Vec<String>, CliError> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if let Some(address) = &self.control_plane {
            add("--control-plane", address.to_string());
        }
        if let Some(context) = &self.context {
            add("--context", context.to_string());
        }
        for (name, file) in [("--token-file", &self.token_file), ("--ca", &self.ca)] {
            let Some(file) = file else { continue };
            if file.as_os_str() == "-" {
                return Err(CliError::Usage(format!(
                    "{name} - reads stdin, which ssh cannot\n  name a file, or log in with: hearth login URL"
                )));
            }
            let file = std::path::absolute(file).map_err(|error| CliError::Local(error.into()))?;
            add(name, file.display().to_string());
        }
        Ok(arguments)
    }
}
