//! The key by which clients know the SSH server of the node's workspaces again.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use hearth_runtime::write_atomically;
use russh::keys::{Algorithm, PrivateKey, key::safe_rng, ssh_key::LineEnding};

const FILE: &str = "ssh_host_ed25519_key";

/// Reads the key, or makes one. Waits for the disk.
pub fn load(state_dir: &Path) -> anyhow::Result<PrivateKey> {
    let path = state_dir.join(FILE);
    let about = || format!("{}: the key of the workspaces' SSH server", path.display());
    match fs::read(&path) {
        Ok(text) => PrivateKey::from_openssh(&text).with_context(about),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key =
                PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).with_context(about)?;
            let text = key.to_openssh(LineEnding::LF).with_context(about)?;
            write_atomically(&path, text.as_bytes(), 0o600).with_context(about)?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(about),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let made = load(folder.path()).unwrap();
        let read = load(folder.path()).unwrap();
        assert_eq!(made.public_key(), read.public_key());
        let path = folder.path().join(FILE);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(&path, "nothing").unwrap();
        let error = format!("{:#}", load(folder.path()).unwrap_err());
        assert!(error.contains(FILE), "{error}");
    }
}
