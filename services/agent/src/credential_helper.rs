//! The helper in workspaces (`credential-helper/main.rs`), which git and docker call when they need a login, and which serves
//! files and connects to ports for who enters a workspace.

use std::{io, path::Path};

use hearth_runtime::write_atomically;

/// The static program; `build.rs` compiles it.
pub const HELPER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/credential-helper"));
/// Docker's configuration names the helper by this.
pub const DOCKER_HELPER: &str = "hearth";
/// Name of the program that docker calls for it.
pub const DOCKER_HELPER_NAME: &str = "docker-credential-hearth";
/// The environment variable that names the helper's socket.
pub const SOCKET_VARIABLE: &str = "HEARTH_CREDENTIALS_SOCKET";

/// Writes the helper. One that is there is replaced whole, even while it runs.
pub fn write_helper(path: &Path) -> io::Result<()> {
    write_atomically(path, HELPER, 0o755)
}

#[cfg(test)]
#[allow(dead_code, reason = "its main is not called here")]
#[path = "../credential-helper/main.rs"]
mod source;
