use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hearth_domain::{AttemptRef, Repository, WorkspaceId};
use hearth_runtime::Tasks;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    git_remote::GitRemote, logins::Logins, protocol::Protocol, socket::serve,
    workspace_folder::WorkspaceFolder,
};
use crate::external::{
    control_plane::{Credentials, LoginPurpose},
    engine::Engine,
};

/// How long the start of the agent waits for the engine: git in workspaces waits meanwhile.
const LIST_WORKSPACES: Duration = Duration::from_secs(2);

/// Logins for git in workspaces. Each workspace has a folder that is mounted into its container, with a socket that is
/// served until the workspace is removed, also after a restart of the agent.
#[derive(Clone)]
pub struct GitAccess(Arc<Inner>);

struct Inner {
    folders: PathBuf,
    credentials: Arc<dyn Credentials>,
    tasks: Tasks,
    served: Mutex<HashMap<WorkspaceId, DropGuard>>,
}

impl GitAccess {
    /// Workspaces' folders are in `folders`; the tasks that serve their sockets belong to `tasks`.
    pub fn new(folders: PathBuf, credentials: Arc<dyn Credentials>, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            folders,
            credentials,
            tasks,
            served: Mutex::default(),
        }))
    }

    /// Makes and serves the folder of a workspace, in place of an earlier attempt's. `None` if its repository is not
    /// reached over HTTP, so that git needs no login.
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

    /// Serves the folder of a workspace that is started again, for this attempt from now on: its container has the folder mounted.
    pub fn renew(
        &self,
        attempt: &AttemptRef,
        repository: &Repository,
    ) -> io::Result<Option<PathBuf>> {
        let folder = WorkspaceFolder::of(&self.0.folders, &attempt.workspace);
        let Some(remote) = GitRemote::of(repository).filter(|_| folder.path().is_dir()) else {
            return Ok(None);
        };
        self.0.served.lock().remove(&attempt.workspace);
        folder.renew(attempt, repository)?;
        self.serve(&folder, attempt.clone(), remote)?;
        Ok(Some(folder.path().to_path_buf()))
    }

    /// Stops serving a workspace and removes its folder, if it has one.
    pub fn close(&self, workspace: &WorkspaceId) -> io::Result<()> {
        self.0.served.lock().remove(workspace);
        WorkspaceFolder::of(&self.0.folders, workspace).remove()
    }

    /// Serves the folders that an earlier process of the agent made, and removes those of workspaces that are gone, if the
    /// engine says which these are.
    pub async fn resume(&self, engine: &dyn Engine) {
        let alive = tokio::time::timeout(LIST_WORKSPACES, engine.workspaces()).await;
        self.resume_those(alive.ok().and_then(Result::ok).as_deref());
    }

    fn resume_those(&self, alive: Option<&[WorkspaceId]>) {
        for workspace in workspaces(&self.0.folders) {
            let resumed = if alive.is_none_or(|alive| alive.contains(&workspace)) {
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
        self.0
            .served
            .lock()
            .insert(workspace, stop.clone().drop_guard());
        self.0.tasks.spawn("git access", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve(listener, Protocol::Git(remote), logins) => {}
            }
        });
        Ok(())
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
