//! The connection by which the control plane calls the agent. The agent opens it, so that no port of the node has to be open.

use std::time::Duration;

use backon::BackoffBuilder as _;
use hearth_domain::text::innermost_cause;
use hearth_runtime::{Tunnel, serve_tunnel};
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;

use crate::external::control_plane::{ControlPlaneClient, pauses};

/// Longest pause between two tries, which jitter makes twice as long at most: the control plane waits 3 s for a connection.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// What ends after this time did not fail for what fails the next one: a load balancer may end all connections of some age.
const SETTLED: Duration = Duration::from_secs(30);
/// How long the agent tells what becomes of its attempts after it was asked to end. They have 20 s to end.
const LAST_WORDS: Duration = Duration::from_secs(18);

/// Serves the control plane on a connection, and opens it again when it ends, until `stop`. Waits until the node is registered.
/// When the way to the control plane is exchanged, a connection is opened on the new one, and the one before ends with its calls.
/// After `stop` the control plane hears of attempts to their ends.
pub async fn keep(control_plane: ControlPlaneClient, routes: Routes, stop: CancellationToken) {
    let retries = || {
        let endless = pauses().with_max_delay(RETRY_MAX).without_max_times();
        endless.build()
    };
    let (mut pauses, mut warned) = (retries(), false);
    let over = async {
        stop.cancelled().await;
        sleep(LAST_WORDS).await;
    };
    let mut over = std::pin::pin!(over);
    let mut served = JoinSet::new();
    // Ends the newest connection gracefully when there is a newer one.
    let mut newest: Option<DropGuard> = None;
    loop {
        let began = Instant::now();
        let mut exchanges = control_plane.exchanges();
        let opened = tokio::select! {
            () = stop.cancelled() => break,
            opened = control_plane.open_connection() => opened,
        };
        let ended = match opened {
            Ok(tunnel) => {
                let leave = stop.child_token();
                let serving = serve(tunnel, routes.clone(), leave.clone());
                let id = served.spawn(serving).id();
                drop(newest.replace(leave.drop_guard()));
                tokio::select! {
                    () = &mut over => return,
                    why = end_of(id, &mut served) => why,
                    _ = exchanges.changed(), if !stop.is_cancelled() => continue,
                }
            }
            Err(status) => Err(format!("{}: {}", status.code(), status.message())),
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
            () = stop.cancelled() => break,
            () = sleep(pauses.next().unwrap_or(RETRY_MAX)) => {}
        }
    }
    // Those that are left are older, and end with their calls.
    tokio::select! {
        () = over => {}
        _ = served.join_all() => {}
    }
}

/// Serves the control plane on one connection.
async fn serve(tunnel: Tunnel, routes: Routes, leave: CancellationToken) -> Result<(), String> {
    let served = serve_tunnel(tunnel, routes, &leave).await;
    served.map_err(|error| innermost_cause(&error).to_string())
}

/// Returns when this one of the connections has ended; others are older.
async fn end_of(newest: Id, served: &mut JoinSet<Result<(), String>>) -> Result<(), String> {
    while let Some(ended) = served.join_next_with_id().await {
        match ended {
            Ok((id, why)) if id == newest => return why,
            Err(error) if error.id() == newest => return Err("its task failed".to_owned()),
            _ => {}
        }
    }
    Ok(())
}
