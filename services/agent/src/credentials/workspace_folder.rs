use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use hearth_domain::{AttemptRef, Repository, WorkspaceId};
use hearth_runtime::write_atomically;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use super::{git_remote::GitRemote, socket::bind};
use crate::credential_helper::write_helper;

/// Where a workspace's folder is mounted in its container.
pub const MOUNT_POINT: &str = "/opt/hearth";
const HELPER: &str = "git-credential-hearth";
const SOCKET: &str = "agent.sock";
const RECORD: &str = "workspace.json";

/// The folder of a workspace that is mounted into its container, with the credential helper and the socket. No secret is
/// written into it.
#[derive(Debug)]
pub(super) struct WorkspaceFolder(PathBuf);

/// The file in the folder from which a restarted agent reads whose folder it is.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    workspace_id: String,
    attempt: u32,
    repository: String,
}

impl Record {
    fn of(attempt: &AttemptRef, repository: &Repository) -> Self {
        Self {
            workspace_id: attempt.workspace.to_string(),
            attempt: attempt.number,
            repository: repository.clone_url(),
        }
    }
}

impl WorkspaceFolder {
    /// The folder of a workspace in `all`; it need not exist.
    pub(super) fn of(all: &Path, workspace: &WorkspaceId) -> Self {
        Self(all.join(workspace.as_str()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Creates it, in place of an existing one. All users in the container can read it, and on the node only root.
    pub(super) fn create(&self, attempt: &AttemptRef, repository: &Repository) -> io::Result<()> {
        let record = Record::of(attempt, repository);
        self.remove()?;
        if let Some(all) = self.0.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(all)?;
        }
        fs::DirBuilder::new().mode(0o755).create(&self.0)?;
        // It is written once: a crash before leaves a folder without it, which is removed at the next start.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.0.join(RECORD))?;
        file.write_all(&serde_json::to_vec(&record)?)
    }

    /// Notes that it is this attempt's now.
    pub(super) fn renew(&self, attempt: &AttemptRef, repository: &Repository) -> io::Result<()> {
        let record = serde_json::to_vec(&Record::of(attempt, repository))?;
        write_atomically(&self.0.join(RECORD), &record, 0o600)
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

    /// Writes the credential helper and binds the socket. Also after a restart, since the agent may be newer; the container
    /// has the same folder mounted.
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

/// Settings for git in the container: the helper for the repository's host, which gets the repository's path too.
pub(crate) fn git_settings(remote: &GitRemote) -> [(String, String); 2] {
    let of = |name: &str| format!("credential.{}.{name}", remote.origin());
    [
        (of("helper"), format!("{MOUNT_POINT}/{HELPER}")),
        (of("useHttpPath"), "true".to_owned()),
    ]
}
