use std::{path::Path, time::Duration};

use anyhow::bail;
use backon::BackoffBuilder as _;
use hearth_domain::Name;
use hearth_runtime::{Obstacle, Tasks};
use tonic::transport::Endpoint;

use super::{args::JoinArgs, joining::Joining, keeper::Keeper};
use crate::external::control_plane::{ControlPlaneClient, pauses};

/// Longest pause between two tries to join, which jitter makes twice as long at most.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The way to the control plane: by TLS, once the node has joined, or on this machine without. The node's certificate is kept
/// valid until `tasks` stop.
///
/// # Errors
///
/// When the state folder cannot be used, or there is nothing to join with.
pub async fn reach(
    endpoint: &Endpoint,
    node: &Name,
    args: &JoinArgs,
    state_dir: &Path,
    obstacle: &Obstacle,
    tasks: &Tasks,
) -> anyhow::Result<ControlPlaneClient> {
    let uri = endpoint.uri();
    if uri.scheme_str() != Some("https") {
        return Ok(ControlPlaneClient::new(endpoint.clone()));
    }
    let joining = Joining::new(node, args, state_dir, uri)?;
    let keeper = join(joining, obstacle).await?;
    let control_plane = keeper.control_plane();
    tasks.spawn("certificate", keeper.keep(tasks.stopping().clone()));
    Ok(control_plane)
}

/// Joins the control plane, unless the node has a certificate that is valid. Tries until it works; meanwhile `obstacle` says
/// why it has not.
async fn join(joining: Joining, obstacle: &Obstacle) -> anyhow::Result<Keeper> {
    let held = joining.held();
    if let Some(held) = held.filter(|held| !held.has_expired()) {
        return Keeper::start(joining, held, None);
    }
    if !joining.may_enrol() {
        bail!(
            "this node has no valid certificate in {}, and nothing to join with: give it a join token (`hearth token create`) by --join-token-file (HEARTH_JOIN_TOKEN_FILE)",
            joining.files.folder().display()
        );
    }
    let mut retries = pauses()
        .with_max_delay(RETRY_MAX)
        .without_max_times()
        .build();
    let mut warned = String::new();
    loop {
        match joining.enrol().await {
            Ok((held, life)) => {
                obstacle.set(None);
                tracing::info!(node = %joining.node, "joined the control plane");
                return Keeper::start(joining, held, Some(life));
            }
            Err(error) => {
                let why = format!("{error:#}");
                if why != warned {
                    tracing::warn!("the node has not joined, trying again: {why}");
                }
                obstacle.set(Some(format!(
                    "the node has not joined the control plane: {why}"
                )));
                warned = why;
            }
        }
        tokio::time::sleep(retries.next().unwrap_or(RETRY_MAX)).await;
    }
}
