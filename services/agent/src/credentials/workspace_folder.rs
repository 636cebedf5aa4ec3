use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use hearth_domain::{AttemptRef, Repository, WorkspaceId};
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

/// What an agent that was restarted needs to know of a workspace, as it is in the folder's record.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    workspace_id: String,
    attempt: u32,
    repository: String,
}

impl WorkspaceFolder {
    /// The folder of a workspace below `all`, whether it is there or not.
    pub(super) fn of(all: &Path, workspace: &WorkspaceId) -> Self {
        Self(all.join(workspace.as_str()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it anew. Whoever is in the container may read all of it; nobody else on the node can reach it.
    pub(super) fn create(&self, attempt: &AttemptRef, repository: &Repository) -> io::Result<()> {
        let record = Record {
            workspace_id: attempt.workspace.to_string(),
            attempt: attempt.number,
            repository: repository.clone_url(),
        };
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
        file.write_all(&serde_json::to_vec(&record)?)
    }

    /// The attempt that made it, and the repository that it is for.
    pub(super) fn record(&self) -> io::Result<(AttemptRef, Repository)> {
        let record: Record = serde_json::from_slice(&fs::read(self.0.join(RECORD))?)?;
        let attempt = AttemptRef {
            workspace: record.workspace_id.parse().map_err(invalid)?,
            number: record.attempt,
        };
        Ok((attempt, record.repository.parse().map_err(invalid)?))
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

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
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
