use std::{fs, path::Path};

use anyhow::Context as _;

use crate::{external::engine::Engine, scratch};

/// Removes what an earlier process of the agent left unfinished: the folders of its attempts, and the containers and
/// volumes of workspaces that were not ready. The kernel killed its commands together with it. Waits for the disk.
pub async fn sweep(engine: &dyn Engine, attempts_dir: &Path) -> anyhow::Result<()> {
    let leftovers =
        scratch::leftovers(attempts_dir).with_context(|| attempts_dir.display().to_string())?;
    for leftover in leftovers {
        if let (Some(attempt), false) = (&leftover.attempt, leftover.ready) {
            tracing::info!(
                workspace.id = %attempt.workspace,
                attempt = attempt.number,
                "removes what an interrupted attempt left behind"
            );
            engine.remove_workspace(&attempt.workspace).await?;
        }
        fs::remove_dir_all(&leftover.path)?;
    }
    Ok(())
}
