use std::collections::BTreeSet;

use hearth_domain::WorkspaceId;
use tokio::sync::Mutex;

use crate::external::engine::Engine;

/// Workspaces of failed attempts that the engine did not remove, for example because it was down.
#[derive(Debug, Default)]
pub struct Unremoved(Mutex<BTreeSet<WorkspaceId>>);

impl Unremoved {
    /// Notes one.
    pub(super) async fn add(&self, workspace: &WorkspaceId) {
        self.0.lock().await.insert(workspace.clone());
    }

    /// A new attempt begins, which removes what the one before left. Waits for a removal that goes on.
    pub(super) async fn forget(&self, workspace: &WorkspaceId) {
        self.0.lock().await.remove(workspace);
    }

    /// Tries again to remove each.
    pub(super) async fn retry(&self, engine: &dyn Engine) {
        let mut workspaces = self.0.lock().await;
        for workspace in workspaces.clone() {
            match engine.remove_workspace(&workspace).await {
                Ok(()) => {
                    workspaces.remove(&workspace);
                }
                Err(error) => {
                    tracing::warn!(workspace.id = %workspace, "what a failed attempt left is still there: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::engine::fake::FakeEngine;

    #[tokio::test]
    async fn what_was_not_removed_is_tried_again_until_it_is() {
        let (unremoved, engine) = (Unremoved::default(), FakeEngine::default());
        for workspace in ["ws-1", "ws-2"] {
            unremoved.add(&workspace.parse().unwrap()).await;
        }
        unremoved.forget(&"ws-2".parse().unwrap()).await;
        engine.lock().is_down = true;
        unremoved.retry(&engine).await;
        assert!(engine.lock().removed_workspaces.is_empty());
        engine.lock().is_down = false;
        unremoved.retry(&engine).await;
        unremoved.retry(&engine).await;
        assert_eq!(engine.lock().removed_workspaces, ["ws-1"]);
    }
}
