//! What attempts left on the node, until it is removed: by an earlier process of the agent that was killed, or because the
//! engine did not answer, or something could not be deleted. None of it keeps an agent from its work.

use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use hearth_domain::{AttemptRef, WorkspaceId};
use hearth_runtime::{Metrics, blocking};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, watch};

use crate::{
    credentials::GitAccess,
    external::engine::{Engine, EngineFailure},
    owners::Owners,
    scratch::{self, Leftover},
};

/// How long after a try what is left is tried again, if the engine was not away meanwhile.
const AGAIN: Duration = Duration::from_secs(300);
/// How long the removal of a workspace may take, below the time that the control plane waits for it.
const REMOVAL: Duration = Duration::from_secs(100);

/// Removes what attempts left, and tries again what could not be removed.
pub struct Leftovers {
    engine: Arc<dyn Engine>,
    git_access: GitAccess,
    owners: Owners,
    left: Mutex<VecDeque<Leftover>>,
    /// The workspace that is being removed again. Changes only while `left` is locked.
    removing: watch::Sender<Option<WorkspaceId>>,
    /// Hears of what is added.
    added: Notify,
    number: Gauge,
}

impl Leftovers {
    /// None yet.
    pub fn new(
        engine: Arc<dyn Engine>,
        git_access: GitAccess,
        owners: Owners,
        metrics: &Metrics,
    ) -> Self {
        let number = Gauge::default();
        metrics.register(|registry| {
            registry.register(
                "agent_leftovers",
                "Ended attempts that left something on the node that could not be removed yet",
                number.clone(),
            );
        });
        Self {
            engine,
            git_access,
            owners,
            left: Mutex::default(),
            removing: watch::Sender::default(),
            added: Notify::new(),
            number,
        }
    }

    /// Finds what an earlier process of the agent left. The kernel killed its commands together with it.
    pub fn find(&self, attempts: &Path) -> anyhow::Result<()> {
        let found = scratch::leftovers(attempts);
        for leftover in found.with_context(|| attempts.display().to_string())? {
            self.add(leftover);
        }
        Ok(())
    }

    /// Notes something that is removed later.
    pub fn add(&self, leftover: Leftover) {
        let mut left = self.left.lock();
        left.push_back(leftover);
        self.count(&left);
        self.added.notify_one();
    }

    /// Removes the folder of an attempt that has ended, unless it has to stay for now: it stands for what the engine has.
    pub async fn remove_folder(&self, folder: Leftover) {
        let is_noted = |left: &VecDeque<Leftover>| left.iter().any(|l| l.path == folder.path);
        if !is_noted(&self.left.lock())
            && let Err(left) = self.remove(folder).await
        {
            self.add(left);
        }
    }

    /// Removes everything that a workspace has on the node.
    pub async fn remove_workspace(&self, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
        let removal = self.engine.remove_workspace(workspace);
        let removed = tokio::time::timeout(REMOVAL, removal).await;
        if let Err(error) = self.git_access.close(workspace) {
            tracing::warn!(workspace.id = %workspace, %error, "the workspace's folder on the node was not removed");
        }
        removed.unwrap_or_else(|_| Err(late()))?;
        self.owners.removed(workspace).await;
        Ok(())
    }

    /// Takes back what an attempt did with a workspace.
    pub async fn undo(&self, leftover: &Leftover) -> Result<(), EngineFailure> {
        match &leftover.workspace {
            Some(workspace) if leftover.is_start => self.engine.stop_workspace(workspace).await,
            Some(workspace) if leftover.keeps_clone => self.clear_workspace(workspace).await,
            Some(workspace) => self.remove_workspace(workspace).await,
            None => Ok(()),
        }
    }

    /// Removes everything that a workspace has on the node but for its clone, which another attempt is to go on with.
    pub async fn clear_workspace(&self, workspace: &WorkspaceId) -> Result<(), EngineFailure> {
        let removal = self.engine.clear_workspace(workspace, true);
        let removed = tokio::time::timeout(REMOVAL, removal).await;
        removed.unwrap_or_else(|_| Err(late()))
    }

    /// A new attempt begins, for this control plane, which replaces what the ones before left. Waits for a removal that goes
    /// on.
    pub async fn taken_over(&self, attempt: &AttemptRef, control_plane: &str) {
        let workspace = &attempt.workspace;
        self.until_not_removed(workspace).await;
        self.owners.begins(attempt, control_plane).await;
    }

    async fn until_not_removed(&self, workspace: &WorkspaceId) {
        let mut removing = self.removing.subscribe();
        loop {
            // The sender is in `self`.
            let _ = removing
                .wait_for(|now| now.as_ref() != Some(workspace))
                .await;
            let mut left = self.left.lock();
            if self.removing.borrow().as_ref() == Some(workspace) {
                continue;
            }
            for leftover in left.iter_mut() {
                if leftover.workspace.as_ref() == Some(workspace) {
                    leftover.disown();
                }
            }
            return;
        }
    }

    /// Removes what there is at once, and tries again later and whenever the engine has no `problem` any more.
    pub async fn run(&self, mut problem: watch::Receiver<Option<String>>) {
        loop {
            if problem.borrow_and_update().is_none() {
                self.try_all().await;
            }
            tokio::select! {
                changed = problem.changed() => if changed.is_err() { return },
                () = self.added.notified() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    async fn try_all(&self) {
        let mut rest = self.left.lock().len();
        while rest > 0 {
            rest -= 1;
            let next = {
                let mut left = self.left.lock();
                let next = left.pop_front();
                let workspace = next.as_ref().and_then(|next| next.workspace.clone());
                self.removing.send_replace(workspace);
                next
            };
            let Some(next) = next else { return };
            let removed = self.remove(next).await;
            let mut left = self.left.lock();
            left.extend(removed.err());
            self.count(&left);
            self.removing.send_replace(None);
        }
    }

    async fn remove(&self, mut leftover: Leftover) -> Result<(), Leftover> {
        if let Some(workspace) = &leftover.workspace
            && let Err(error) = self.undo(&leftover).await
        {
            tracing::warn!(workspace.id = %workspace, "what an attempt left is still there: {error}");
            return Err(leftover);
        }
        // It may hold a checkout of the whole repository.
        blocking(move || match leftover.remove_folder() {
            Ok(()) => Ok(()),
            Err(error) => {
                let path = leftover.path.display();
                tracing::warn!(%path, %error, "the folder of an attempt was not removed");
                Err(leftover)
            }
        })
        .await
    }

    fn count(&self, left: &VecDeque<Leftover>) {
        self.number.set(left.len().try_into().unwrap_or(i64::MAX));
    }
}

fn late() -> EngineFailure {
    EngineFailure {
        action: "remove the workspace",
        cause: format!("it has not done so within {} s", REMOVAL.as_secs()),
    }
}

#[cfg(test)]
#[path = "leftovers_tests.rs"]
mod tests;
