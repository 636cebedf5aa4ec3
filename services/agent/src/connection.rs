//! The connection by which the control plane calls the agent. The agent opens it, so that no port of the node has to be open.

use std::time::Duration;

use hearth_domain::text::innermost_cause;
use hearth_runtime::serve_tunnel;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::external::control_plane::{ControlPlaneClient, Retries};

/// Longest pause between two tries, which jitter makes twice as long at most: the control plane waits 3 s for a connection.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// What ends after this time did not fail for what fails the next one: a load balancer may end all connections of some age.
const SETTLED: Duration = Duration::from_secs(30);
/// How long the agent tells what becomes of its attempts after it was asked to end. They have 20 s to end.
const LAST_WORDS: Duration = Duration::from_secs(18);

/// Serves the control plane on a connection, and opens another one when it ends, when the control plane asks for it, or when
/// the way to the control plane is exchanged: then the calls on the one before go on. Until `stop`. Waits until the node is
/// registered. After `stop` the control plane hears of attempts to their ends.
pub async fn keep(control_plane: ControlPlaneClient, routes: Routes, stop: CancellationToken) {
    let mut retries = Retries::up_to(RETRY_MAX);
    let mut serving = JoinSet::new();
    loop {
        let began = Instant::now();
        let mut exchanges = control_plane.exchanges();
        let opened = tokio::select! {
            () = stop.cancelled() => break,
            opened = control_plane.open_connection() => opened,
        };
        let ended = match opened {
            Ok((tunnel, asked_for_another)) => {
                let (end, ended) = oneshot::channel();
                let (routes, stopping) = (routes.clone(), stop.clone());
                serving.spawn(async move {
                    let _ = end.send(serve_tunnel(tunnel, routes, &stopping).await);
                });
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = asked_for_another.cancelled() => Ok(()),
                    _ = exchanges.changed() => continue,
                    served = ended => match served {
                        Ok(Err(error)) => Err(innermost_cause(&error).to_string()),
                        Ok(Ok(())) | Err(_) => Ok(()),
                    },
                }
            }
            Err(status) => Err(format!("{}: {}", status.code(), status.message())),
        };
        while serving.try_join_next().is_some() {}
        if began.elapsed() > SETTLED {
            retries = Retries::up_to(RETRY_MAX);
        }
        if let Err(why) = ended
            && retries.is_news(&why)
        {
            tracing::warn!("the control plane cannot call this node; trying again: {why}");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = retries.pause() => {}
        }
    }
    let told = async { while serving.join_next().await.is_some() {} };
    let _ = timeout(LAST_WORDS, told).await;
}
