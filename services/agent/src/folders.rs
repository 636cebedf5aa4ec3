//! The folders of the agent.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::ensure;
use hearth_runtime::{LockError, lock_file};

/// Longest path of the state folder, in bytes. The socket of an attempt's door is `attempts/ID-NUMBER/docker.sock` in it, and
/// Linux takes 107 bytes.
const MAX_STATE_DIR: usize = 64;

/// The absolute path of the state folder, if it is short enough.
pub(crate) fn state_dir(path: &Path) -> anyhow::Result<PathBuf> {
    let state_dir = std::path::absolute(path)?;
    ensure!(
        state_dir.as_os_str().len() <= MAX_STATE_DIR,
        "--state-dir (HEARTH_STATE_DIR): {} is too long: sockets are made in it, whose paths are limited; it may have {MAX_STATE_DIR} bytes",
        state_dir.display()
    );
    Ok(state_dir)
}

/// Makes a folder that only root can enter, unless there is one: on the node nobody else reads the clones in it.
pub(crate) fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// Locks the state folder: its attempts and the node's workspaces belong to one agent.
pub(crate) async fn lock_state(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("agent.lock");
    lock_file(&path).await.map_err(|error| match error {
        LockError::InUse => anyhow::anyhow!(
            "--state-dir (HEARTH_STATE_DIR): another agent uses {}; stop it, or give this one a folder and an engine of its own",
            folder.display()
        ),
        LockError::Io(cause) => anyhow::anyhow!("{}: {cause}", path.display()),
    })
}
