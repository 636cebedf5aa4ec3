use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hearth_domain::{AttemptRef, Repository, WorkspaceId};
use hearth_runtime::Tasks;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    git_remote::GitRemote, logins::Logins, protocol::Protocol, socket::serve,
    workspace_folder::WorkspaceFolder,
};
use crate::external::{
    control_plane::{Credentials, LoginPurpose},
    engine::{Engine, EngineFailure},
};

/// Lets git in workspaces log in to their repositories' hosts: each workspace has a folder that its container sees, and
/// a socket in it that is served for as long as the workspace lives, over restarts of the agent.
#[derive(Clone)]
pub struct GitAccess(Arc<Inner>);

struct Inner {
    folders: PathBuf,
    credentials: Arc<dyn Credentials>,
    tasks: Tasks,
    served: Mutex<HashMap<WorkspaceId, DropGuard>>,
}

impl GitAccess {
    /// Keeps the folders of workspaces below `folders`; the sockets' tasks belong to `tasks`.
    pub fn new(folders: PathBuf, credentials: Arc<dyn Credentials>, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            folders,
            credentials,
            tasks,
            served: Mutex::default(),
        }))
    }

    /// Makes and serves the folder of a workspace, in place of an earlier attempt's. `None` when git needs no password
    /// for its repository.
    pub fn open(
        &self,
        attempt: &AttemptRef,
        repository: &Repository,
    ) -> io::Result<Option<PathBuf>> {
        self.close(&attempt.workspace)?;
        let Some(remote) = GitRemote::of(repository) else {
            return Ok(None);
        };
        let folder = WorkspaceFolder::of(&self.0.folders, &attempt.workspace);
        folder.create(attempt, repository)?;
        self.serve(&folder, attempt.clone(), remote)?;
        Ok(Some(folder.path().to_path_buf()))
    }

    /// Ends the service of a workspace and removes its folder. What is not there is no error.
    pub fn close(&self, workspace: &WorkspaceId) -> io::Result<()> {
        self.lock().remove(workspace);
        WorkspaceFolder::of(&self.0.folders, workspace).remove()
    }

    /// Serves the workspaces that an earlier life of the agent left, and removes the folders of those that are gone.
    pub async fn resume(&self, engine: &dyn Engine) -> Result<(), EngineFailure> {
        self.resume_those(&engine.workspaces().await?);
        Ok(())
    }

    fn resume_those(&self, alive: &[WorkspaceId]) {
        for workspace in workspaces(&self.0.folders) {
            let resumed = if alive.contains(&workspace) {
                self.resume_one(&workspace)
            } else {
                self.close(&workspace)
            };
            if let Err(error) = resumed {
                tracing::warn!(
                    workspace.id = %workspace,
                    %error,
                    "git in the workspace gets no logins"
                );
            }
        }
    }

    fn resume_one(&self, workspace: &WorkspaceId) -> io::Result<()> {
        let folder = WorkspaceFolder::of(&self.0.folders, workspace);
        let (attempt, repository) = folder.record()?;
        let remote = GitRemote::of(&repository).ok_or(io::ErrorKind::InvalidData)?;
        self.serve(&folder, attempt, remote)
    }

    fn serve(
        &self,
        folder: &WorkspaceFolder,
        attempt: AttemptRef,
        remote: GitRemote,
    ) -> io::Result<()> {
        let listener = folder.open()?;
        let workspace = attempt.workspace.clone();
        let warn = {
            let workspace = workspace.clone();
            move |why: String| {
                tracing::warn!(workspace.id = %workspace, "no login for the workspace: {why}");
            }
        };
        let logins = Logins::new(
            self.0.credentials.clone(),
            attempt,
            LoginPurpose::Workspace,
            warn,
        );
        let stop: CancellationToken = self.0.tasks.stopping().child_token();
        self.lock().insert(workspace, stop.clone().drop_guard());
        self.0.tasks.spawn("git access", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve(listener, Protocol::Git(remote), logins) => {}
            }
        });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, DropGuard>> {
        self.0.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workspaces that have a folder.
fn workspaces(folders: &Path) -> Vec<WorkspaceId> {
    let entries = fs::read_dir(folders).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
#[path = "git_access_tests.rs"]
mod tests;
