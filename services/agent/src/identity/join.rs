use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use hearth_domain::Name;
use hearth_runtime::{Obstacle, Tasks};
use tonic::transport::Endpoint;

use super::{args::JoinArgs, joining::Joining, keeper::Keeper};
use crate::external::control_plane::{ControlPlaneClient, Retries};

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
    let held = held.map(|held| Keeper::start(joining.clone(), held, None));
    let mut expired = match held.transpose()? {
        Some(keeper) if !keeper.has_expired() => return Ok(keeper),
        expired => expired,
    };
    if !joining.may_enrol() {
        let Some(mut keeper) = expired else {
            bail!(
                "this node has no valid certificate in {}, and nothing to join with: give it a join token (`hearth token create`) by --join-token-file (HEARTH_JOIN_TOKEN_FILE)",
                joining.files.folder().display()
            );
        };
        // It has expired by the clock of this machine.
        keeper.renew_once().await?;
        return Ok(keeper);
    }
    let mut retries = Retries::up_to(RETRY_MAX);
    loop {
        let joined = match &mut expired {
            Some(keeper) => keeper.renew_once().await.map(drop),
            None => joining.enrol().await.and_then(|(held, life)| {
                expired = Some(Keeper::start(joining.clone(), held, Some(life))?);
                Ok(())
            }),
        };
        match joined {
            Ok(()) => {
                obstacle.set(None);
                tracing::info!(node = %joining.node, "joined the control plane");
                return expired.context("the node has joined");
            }
            Err(error) => {
                let why = format!("{error:#}");
                if retries.is_news(&why) {
                    tracing::warn!("the node has not joined, trying again: {why}");
                }
                obstacle.set(Some(format!(
                    "the node has not joined the control plane: {why}"
                )));
            }
        }
        retries.pause().await;
    }
}
