//! The configurations of a repository that no workspace has: fetched, read and forgotten.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hearth_domain::{CommitHash, ConfigName, GitRef, Login, Repository};
use hearth_runtime::{Tasks, blocking};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};
use uuid::Uuid;

use crate::{
    clone_files::{CloneFiles, remove_folder},
    devcontainer::{Listed, list},
    external::git::{CloneFailure, ConfigsRequest, Git, advice},
};

/// Repositories that are looked into at once.
const AT_ONCE: usize = 4;
/// How long that may take; a repository of a million files takes some seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Looks for configurations.
#[derive(Clone)]
pub struct Configurations {
    git: Arc<dyn Git>,
    /// Where repositories are fetched to.
    folder: PathBuf,
    slots: Arc<Semaphore>,
    tasks: Tasks,
}

/// The configurations of a ref.
#[derive(Debug, PartialEq)]
pub struct Listing {
    /// `None`: the repository has no commit yet.
    pub commit: Option<CommitHash>,
    /// The default one first.
    pub configs: Vec<Listed>,
    /// The one that is used when none is asked for; `None` in it: the default one.
    pub used: Option<Option<ConfigName>>,
}

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListFailure {
    /// As many are looked into as may be.
    #[error("the node looks into {AT_ONCE} repositories already; try again in a few seconds")]
    Busy,
    /// The agent ends.
    #[error("the agent is shutting down")]
    Stopping,
    /// There is no such ref.
    #[error("{0}")]
    RefNotFound(String),
    /// The git host wants another login.
    #[error("{0}")]
    LoginRefused(String),
    /// Anything else that is wrong with the repository or the way to it.
    #[error("{0}")]
    Unreadable(String),
}

impl Configurations {
    /// Looks with `git`, in a folder of its own, which is removed first: an earlier process may have left something in it.
    pub fn new(git: Arc<dyn Git>, folder: PathBuf, tasks: Tasks) -> Self {
        if let Err(error) = remove_folder(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "what an earlier agent fetched was not removed");
        }
        Self {
            git,
            folder,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            tasks,
        }
    }

    /// The configurations of a ref. Nothing of it is left, also when the future is dropped before its end.
    pub async fn list(
        &self,
        repository: Repository,
        git_ref: GitRef,
        login: Option<Login>,
    ) -> Result<Listing, ListFailure> {
        let slot = self.slots.clone().try_acquire_owned();
        let slot = slot.map_err(|_| ListFailure::Busy)?;
        let folder = self.folder.join(Uuid::new_v4().simple().to_string());
        let (mut asked, answer) = oneshot::channel();
        let (git, stopping) = (self.git.clone(), self.tasks.stopping().clone());
        self.tasks.spawn("list configurations", async move {
            let work = timeout(LIMIT, look(&*git, &folder, &repository, &git_ref, login));
            let listed = tokio::select! {
                listed = work => Some(listed.unwrap_or_else(|_| Err(late(&repository)))),
                () = asked.closed() => None,
                () = stopping.cancelled() => None,
            };
            let removed = blocking(move || remove_folder(&folder)).await;
            if let Err(error) = removed {
                tracing::warn!(%error, "what was fetched of a repository was not removed");
            }
            drop(slot);
            if let Some(listed) = listed {
                // Who asked may be gone.
                let _ = asked.send(listed);
            }
        });
        answer.await.unwrap_or(Err(ListFailure::Stopping))
    }
}

async fn look(
    git: &dyn Git,
    folder: &Path,
    repository: &Repository,
    git_ref: &GitRef,
    login: Option<Login>,
) -> Result<Listing, ListFailure> {
    let url = repository.clone_url();
    let (files, scratch) = (folder.join("files"), folder.join("scratch"));
    let made = {
        let folders = [files.clone(), scratch.clone()];
        blocking(move || folders.iter().try_for_each(|folder| private(folder))).await
    };
    made.map_err(|error| ListFailure::Unreadable(format!("the agent's folder: {error}")))?;
    let into = files.join(repository.name());
    let request = ConfigsRequest {
        url: &url,
        git_ref,
        into: &into,
        scratch: &scratch,
        login: login.as_ref(),
    };
    let fetched = git.fetch_configs(&request).await;
    let commit = fetched.map_err(|why| failure(&url, git_ref, login.is_some(), why))?;
    let read = blocking(move || CloneFiles::open(&into).map(|files| list(&files))).await;
    let (configs, used) = read.map_err(|error| ListFailure::Unreadable(error.to_string()))?;
    Ok(Listing {
        commit,
        configs,
        used,
    })
}

fn private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

fn late(repository: &Repository) -> ListFailure {
    ListFailure::Unreadable(format!(
        "{} was not read within {} s; try again, or prepare a workspace of it",
        repository.clone_url(),
        LIMIT.as_secs()
    ))
}

fn failure(url: &str, git_ref: &GitRef, with_login: bool, why: CloneFailure) -> ListFailure {
    match why {
        CloneFailure::RefNotFound(_, names) => {
            let known = match names.as_slice() {
                [] => String::new(),
                names => format!("; it has {}", names.join(", ")),
            };
            ListFailure::RefNotFound(format!("{url} has no {:?}{known}", git_ref.to_string()))
        }
        CloneFailure::LoginRefused(_) if with_login => ListFailure::LoginRefused(format!(
            "{url} cannot be read: the host does not accept the login"
        )),
        CloneFailure::LoginRefused(_) => ListFailure::LoginRefused(format!(
            "{url} cannot be read: the host asks for a login, and the control plane has none for it: configure its credentials"
        )),
        CloneFailure::DiskFull(_) => ListFailure::Unreadable(format!(
            "{url} cannot be read: the node's disk is full; free some of it"
        )),
        CloneFailure::Failed(child) => {
            let advice = advice(&child).map(|advice| format!(": {advice}"));
            let advice = advice.unwrap_or_default();
            ListFailure::Unreadable(format!("{url} cannot be read: {}{advice}", child.message))
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::sync::Notify;

    use super::*;
    use crate::external::{
        git::{CloneRequest, GitClone},
        process::{OnLine, ProcessFailure},
    };

    /// Writes a configuration and waits, or refuses.
    #[derive(Default)]
    struct SlowGit {
        began: Notify,
        may_end: Notify,
        refuses: bool,
    }

    #[async_trait]
    impl Git for SlowGit {
        async fn clone_repository(
            &self,
            _: &CloneRequest<'_>,
            _: OnLine<'_>,
        ) -> Result<GitClone, CloneFailure> {
            unreachable!()
        }

        async fn fetch_configs(
            &self,
            request: &ConfigsRequest<'_>,
        ) -> Result<Option<CommitHash>, CloneFailure> {
            if self.refuses {
                let failed = ProcessFailure::new("x");
                return Err(CloneFailure::LoginRefused(failed));
            }
            fs::create_dir_all(request.into).unwrap();
            fs::write(request.into.join(".devcontainer.json"), "{}").unwrap();
            self.began.notify_one();
            self.may_end.notified().await;
            Ok(None)
        }
    }

    fn world(git: SlowGit) -> (tempfile::TempDir, Arc<SlowGit>, Configurations) {
        let dir = tempfile::tempdir().unwrap();
        let git = Arc::new(git);
        let folder = dir.path().join("listings");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("of an earlier agent"), "").unwrap();
        let configurations = Configurations::new(git.clone(), folder, Tasks::default());
        (dir, git, configurations)
    }

    async fn ask(configurations: &Configurations) -> Result<Listing, ListFailure> {
        let repository = "https://git.example/a/b".parse().unwrap();
        configurations.list(repository, GitRef::Default, None).await
    }

    async fn until_empty(configurations: &Configurations) {
        let left = || fs::read_dir(&configurations.folder).map_or(0, Iterator::count);
        while left() > 0 || configurations.slots.available_permits() < AT_ONCE {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn nothing_of_a_repository_is_left_after_an_answer_nor_when_nobody_waits_for_one() {
        let (_dir, git, configurations) = world(SlowGit::default());
        git.may_end.notify_one();
        let listing = ask(&configurations).await.unwrap();
        assert_eq!((listing.configs.len(), listing.used), (1, Some(None)));
        until_empty(&configurations).await;
        let asking = tokio::select! {
            listed = ask(&configurations) => Some(listed),
            () = async { git.began.notified().await; git.began.notified().await } => None,
        };
        assert_eq!(asking, None);
        until_empty(&configurations).await;
    }

    #[tokio::test]
    async fn more_than_a_few_at_once_are_refused_and_a_refused_login_is_told() {
        let (_dir, _git, configurations) = world(SlowGit::default());
        let held: Vec<_> = (0..AT_ONCE)
            .map(|_| configurations.slots.clone().try_acquire_owned().unwrap())
            .collect();
        assert_eq!(ask(&configurations).await, Err(ListFailure::Busy));
        drop(held);
        let refuses = SlowGit {
            refuses: true,
            ..SlowGit::default()
        };
        let (_dir, _git, configurations) = world(refuses);
        let refused = ask(&configurations).await;
        assert!(
            matches!(refused, Err(ListFailure::LoginRefused(_))),
            "{refused:?}"
        );
    }
}
