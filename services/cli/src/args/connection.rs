use std::path::PathBuf;

use clap::Args;
use hearth_domain::Name;

use super::values::parsed;
use crate::address::Address;

/// How the control plane is reached. Variables are read by `target`: what clap reads from a variable it shows in the usage of
/// every error.
#[derive(Args, Debug)]
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
