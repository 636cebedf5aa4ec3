//! The credential helper (`credential-helper/main.rs`), which git and docker call when they need a login.

use std::{fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

/// The static program that git and docker call; `build.rs` compiles it.
const HELPER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/credential-helper"));
/// By what docker's configuration names the helper.
pub const DOCKER_HELPER: &str = "hearth";
/// The program that docker then calls.
pub const DOCKER_HELPER_NAME: &str = "docker-credential-hearth";
/// Tells the helper where its socket is.
pub const SOCKET_VARIABLE: &str = "HEARTH_CREDENTIALS_SOCKET";

/// Writes the helper; one that is there is replaced whole, whoever runs it.
pub fn write_helper(path: &Path) -> io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(&draft)?;
    file.write_all(HELPER)?;
    drop(file);
    fs::rename(&draft, path)
}

#[cfg(test)]
#[allow(dead_code, reason = "its main is not called here")]
#[path = "../credential-helper/main.rs"]
mod source;
