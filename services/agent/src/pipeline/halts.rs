use std::collections::HashMap;

use hearth_domain::WorkspaceId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What goes on in the containers of ready workspaces, and has to end before these are stopped: hooks. One workspace has one
/// attempt at a time.
#[derive(Debug, Default)]
pub struct Halts(Mutex<HashMap<WorkspaceId, CancellationToken>>);

/// An attempt may have something that goes on, until this is dropped.
#[derive(Debug)]
pub struct Halt<'a> {
    all: &'a Halts,
    workspace: WorkspaceId,
    /// Cancelled when it has to end.
    pub halted: CancellationToken,
}

impl Halts {
    /// The attempt of this workspace is about to have something that goes on.
    pub fn of(&self, workspace: &WorkspaceId) -> Halt<'_> {
        let halted = CancellationToken::new();
        self.0.lock().insert(workspace.clone(), halted.clone());
        Halt {
            all: self,
            workspace: workspace.clone(),
            halted,
        }
    }

    /// Has it end.
    pub fn halt(&self, workspace: &WorkspaceId) {
        if let Some(halted) = self.0.lock().get(workspace) {
            halted.cancel();
        }
    }
}

impl Drop for Halt<'_> {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.workspace);
    }
}
