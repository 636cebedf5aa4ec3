use std::{convert::Infallible, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use hearth_domain::WorkspaceId;
use hearth_runtime::{KeyedTasks, Start, Tasks, contain};
use tokio_util::sync::CancellationToken;

use super::{driver::drive, driving::Driving};

/// Between a panic of a driver and its next start.
const MIN_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The tasks that drive workspaces, at most one for each.
pub(crate) struct Drivers {
    with: Arc<Driving>,
    running: KeyedTasks<WorkspaceId, ()>,
}

impl Drivers {
    pub(crate) fn new(with: Driving, tasks: Tasks) -> Self {
        Self {
            with: Arc::new(with),
            running: KeyedTasks::new(tasks, "drive workspace", 0),
        }
    }

    /// Drives the newest attempt of a workspace, after the driver of an earlier attempt has ended.
    pub(crate) fn start(&self, id: &WorkspaceId) {
        let (with, of) = (self.with.clone(), id.clone());
        let run = |(), stop| async move { drive_to_the_end(&with, &of, &stop).await };
        let replace = |_: &()| Ok::<_, Infallible>(Start::Replace);
        let Ok(()) = self.running.start(id.clone(), (), replace, run);
    }

    /// Stops the driver of a workspace and waits until it has ended.
    pub(super) async fn stop(&self, id: &WorkspaceId) {
        self.running.stop(id).await;
    }
}

/// A driver that panics starts again from the record.
async fn drive_to_the_end(with: &Driving, id: &WorkspaceId, stop: &CancellationToken) {
    let mut delays = ExponentialBuilder::default()
        .with_min_delay(MIN_DELAY)
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times()
        .build();
    while contain("drive workspace", Box::pin(drive(with, id, stop)))
        .await
        .is_err()
    {
        let delay = delays.next().unwrap_or(MAX_DELAY);
        tracing::error!(workspace.id = %id, delay_seconds = delay.as_secs_f64(), "its driver starts again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
    }
}
