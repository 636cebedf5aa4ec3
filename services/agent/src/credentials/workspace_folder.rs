use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use hearth_api::v1::AttemptRef;
use hearth_domain::Repository;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use super::{git_remote::GitRemote, socket::bind};
use crate::credential_helper::write_helper;

/// Where a workspace's folder is in its container.
pub const MOUNT_POINT: &str = "/opt/hearth";
const HELPER: &str = "git-credential-hearth";
const SOCKET: &str = "agent.sock";
const RECORD: &str = "workspace.json";

/// The folder of a workspace that its container sees: helper and socket. There is no secret in it.
#[derive(Debug)]
pub(super) struct WorkspaceFolder(PathBuf);

/// What an agent that was restarted needs to know of a workspace.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkspaceRecord {
    pub workspace_id: String,
    pub attempt: u32,
    pub repository: String,
}

impl WorkspaceRecord {
    pub(super) fn attempt(&self) -> AttemptRef {
        AttemptRef {
            workspace_id: self.workspace_id.clone(),
            attempt: self.attempt,
        }
    }

    pub(super) fn remote(&self) -> Option<GitRemote> {
        GitRemote::of(&self.repository.parse::<Repository>().ok()?)
    }
}

impl WorkspaceFolder {
    /// The folder of a workspace below `all`, whether it is there or not.
    pub(super) fn of(all: &Path, workspace_id: &str) -> Self {
        Self(all.join(workspace_id))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it anew. Whoever is in the container may read all of it; nobody else on the node can reach it.
    pub(super) fn create(&self, record: &WorkspaceRecord) -> io::Result<()> {
        self.remove()?;
        if let Some(all) = self.0.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(all)?;
        }
        fs::DirBuilder::new().mode(0o755).create(&self.0)?;
        // It is never written again: a crash in between leaves a folder without it, which is removed at the next start.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.0.join(RECORD))?;
        file.write_all(&serde_json::to_vec(record)?)
    }

    pub(super) fn record(&self) -> io::Result<WorkspaceRecord> {
        Ok(serde_json::from_slice(&fs::read(self.0.join(RECORD))?)?)
    }

    /// Writes what git in the workspace calls, and opens the socket. Again after a restart: the container sees the folder
    /// itself, and an agent may be newer than the one that made it.
    pub(super) fn open(&self) -> io::Result<UnixListener> {
        write_helper(&self.0.join(HELPER))?;
        bind(&self.0, SOCKET)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What git in the container has to be told: the helper for the repository's host, and to say in its question which
/// repository it wants to log in to.
pub(crate) fn git_settings(remote: &GitRemote) -> [(String, String); 2] {
    let of = |name: &str| format!("credential.{}.{name}", remote.origin());
    [
        (of("helper"), format!("{MOUNT_POINT}/{HELPER}")),
        (of("useHttpPath"), "true".to_owned()),
    ]
}
