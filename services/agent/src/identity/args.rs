use std::path::PathBuf;

use clap::Args;

/// The flags about how the node joins a control plane with TLS.
#[derive(Args, Clone, Debug, Default)]
pub struct JoinArgs {
    /// File with the join token that `hearth token create` prints. It is read when the node has no certificate, or one that has
    /// expired
    #[arg(
        long,
        env = "HEARTH_JOIN_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "join_service_account_token"
    )]
    pub join_token_file: Option<PathBuf>,
    /// File with the certificates of the CAs that the control plane's port may be of (PEM), where that is not the CA of the
    /// join token. Read again when it changes
    #[arg(long, env = "HEARTH_CONTROL_PLANE_CA", value_name = "FILE")]
    pub control_plane_ca: Option<PathBuf>,
    /// File with a token of the pod's Kubernetes service account for the audience `hearth`, in place of a join token
    #[arg(
        long,
        env = "HEARTH_JOIN_SERVICE_ACCOUNT_TOKEN",
        value_name = "FILE",
        requires = "control_plane_ca"
    )]
    pub join_service_account_token: Option<PathBuf>,
}
