use std::{fs, path::Path};

use anyhow::Context as _;

use crate::{external::engine::Engine, scratch};

/// Removes what an earlier process of the agent left unfinished: the folders of its attempts, and the containers and
/// volumes of workspaces that were not ready. Its commands need no sweeping: the kernel killed them with the agent.
pub async fn sweep(engine: &dyn Engine, attempts_dir: &Path) -> anyhow::Result<()> {
    let leftovers =
        scratch::leftovers(attempts_dir).with_context(|| attempts_dir.display().to_string())?;
    for leftover in leftovers {
        if let (Some(attempt), false) = (&leftover.attempt, leftover.ready) {
            tracing::info!(
                workspace.id = %attempt.workspace,
                attempt = attempt.number,
                "removes what an interrupted attempt left"
            );
            engine.remove_workspace(&attempt.workspace).await?;
        }
        fs::remove_dir_all(&leftover.path)?;
    }
    Ok(())
}
