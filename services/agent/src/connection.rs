//! The connection by which the control plane calls the agent. The agent opens it, so that no port of the node has to be open.

use std::time::Duration;

use backon::BackoffBuilder as _;
use hearth_domain::text::innermost_cause;
use hearth_runtime::serve_tunnel;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::external::control_plane::{ControlPlaneClient, pauses};

/// Longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(8);
/// What ends after this time did not fail for what fails the next one: a load balancer may end all connections of some age.
const SETTLED: Duration = Duration::from_secs(30);

/// Serves the control plane on a connection, and opens it again when it ends, until `stop`. Waits until the node is registered.
pub async fn keep(control_plane: ControlPlaneClient, routes: Routes, stop: CancellationToken) {
    let retries = || {
        let endless = pauses().with_max_delay(RETRY_MAX).without_max_times();
        endless.build()
    };
    let (mut pauses, mut warned) = (retries(), false);
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = serve(&control_plane, &routes, &stop) => ended,
        };
        if began.elapsed() > SETTLED {
            (pauses, warned) = (retries(), false);
        }
        if let Err(why) = ended
            && !warned
        {
            tracing::warn!("the control plane cannot call this node; trying again: {why}");
            warned = true;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pauses.next().unwrap_or(RETRY_MAX)) => {}
        }
    }
}

/// Opens a connection, and serves on it until it ends.
async fn serve(
    control_plane: &ControlPlaneClient,
    routes: &Routes,
    stop: &CancellationToken,
) -> Result<(), String> {
    let tunnel = control_plane.open_connection().await;
    let tunnel = tunnel.map_err(|status| format!("{}: {}", status.code(), status.message()))?;
    let served = serve_tunnel(tunnel, routes.clone(), stop).await;
    served.map_err(|error| innermost_cause(&error).to_string())
}
