use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hearth_domain::WorkspaceId;
use hearth_runtime::Tasks;
use tokio_util::sync::CancellationToken;

use super::driver::{Driving, drive};

/// The tasks that own live workspaces: never two for the same one.
pub(crate) struct Drivers {
    with: Arc<Driving>,
    tasks: Tasks,
    running: Mutex<HashMap<WorkspaceId, Handle>>,
}

#[derive(Clone, Debug)]
struct Handle {
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Drivers {
    pub(crate) fn new(with: Driving, tasks: Tasks) -> Self {
        Self {
            with: Arc::new(with),
            tasks,
            running: Mutex::default(),
        }
    }

    /// Drives the newest attempt of a workspace. A driver of an attempt before it ends first.
    pub(crate) fn start(self: &Arc<Self>, id: &WorkspaceId) {
        let handle = Handle {
            stop: self.tasks.stopping().child_token(),
            ended: CancellationToken::new(),
        };
        let before = self.lock().insert(id.clone(), handle.clone());
        let (drivers, id) = (self.clone(), id.clone());
        self.tasks.spawn("drive workspace", async move {
            // Also when the task panics or is dropped: whoever waits for its end must not wait for ever.
            let ended = handle.ended.clone().drop_guard();
            if let Some(before) = before {
                before.stop.cancel();
                before.ended.cancelled().await;
            }
            drive(&drivers.with, &id, &handle.stop).await;
            drop(ended);
            drivers.remove_ended(&id);
        });
    }

    /// Stops the driver of a workspace, if there is one, and waits until it is gone.
    pub(crate) async fn stop(&self, id: &WorkspaceId) {
        let handle = self.lock().get(id).cloned();
        if let Some(handle) = handle {
            handle.stop.cancel();
            handle.ended.cancelled().await;
        }
    }

    fn remove_ended(&self, id: &WorkspaceId) {
        let mut handles = self.lock();
        // It may be the handle of the next driver already.
        if handles
            .get(id)
            .is_some_and(|handle| handle.ended.is_cancelled())
        {
            handles.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Handle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
