use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use hearth_api::v1::{HeartbeatRequest, NodeInfo, RegisterRequest};
use tokio_util::sync::CancellationToken;

use crate::{
    disk::DiskKeeper,
    external::{control_plane::ControlPlaneClient, engine::Engine},
};

/// Until the control plane has said how often it wants to hear.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Keeps the node known to the control plane.
pub struct Registration {
    /// The control plane.
    pub control_plane: ControlPlaneClient,
    /// Name of the node.
    pub node: String,
    /// What the agent says of itself.
    pub info: NodeInfo,
    /// Knows how much disk is free.
    pub disk: Arc<DiskKeeper>,
    /// Has the workspaces of the node.
    pub engine: Arc<dyn Engine>,
}

impl Registration {
    /// Registers, and again whenever the control plane does not know the node or its session any more; heartbeats in
    /// between.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            loop {
                let interval = self.register().await;
                tokio::select! {
                    () = self.heartbeats(interval) => {}
                    () = self.control_plane.session().is_refused() => {}
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn register(&self) -> Duration {
        let mut retries = self.retries();
        let mut warned = false;
        loop {
            match self.try_register().await {
                Ok(interval) => {
                    tracing::info!(node = self.node, "registered at the control plane");
                    return interval;
                }
                Err(why) => {
                    if !warned {
                        tracing::warn!("not registered yet, trying on: {why}");
                        warned = true;
                    }
                    tokio::time::sleep(retries.next().unwrap_or(RETRY_MAX)).await;
                }
            }
        }
    }

    async fn try_register(&self) -> Result<Duration, String> {
        let workspaces = self
            .engine
            .workspaces()
            .await
            .map_err(|error| error.to_string())?;
        let request = RegisterRequest {
            node: self.node.clone(),
            info: Some(NodeInfo {
                disk_free_bytes: self.free_disk(),
                ..self.info.clone()
            }),
            workspace_ids: workspaces.iter().map(ToString::to_string).collect(),
        };
        let answer = self
            .control_plane
            .register(request)
            .await
            .map_err(|status| format!("{}: {}", status.code(), status.message()))?;
        Ok(match answer.heartbeat_seconds {
            0 => FIRST_INTERVAL,
            seconds => Duration::from_secs(seconds.into()),
        })
    }

    /// Returns when the control plane does not know the node.
    async fn heartbeats(&self, interval: Duration) {
        let mut lost = false;
        loop {
            tokio::time::sleep(interval).await;
            let request = HeartbeatRequest {
                node: self.node.clone(),
                boot_id: self.info.boot_id.clone(),
                disk_free_bytes: self.free_disk(),
            };
            match self.control_plane.heartbeat(request).await {
                Ok(answer) if answer.known => {
                    if lost {
                        tracing::info!("the control plane answers again");
                        lost = false;
                    }
                }
                Ok(_) => return,
                Err(status) => {
                    if !lost {
                        tracing::warn!(code = %status.code(), "the control plane does not answer: {}", status.message());
                        lost = true;
                    }
                }
            }
        }
    }

    fn free_disk(&self) -> u64 {
        self.disk.free_bytes().unwrap_or_default()
    }

    fn retries(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(RETRY_MIN)
            .with_max_delay(RETRY_MAX)
            .without_max_times()
            .build()
    }
}
