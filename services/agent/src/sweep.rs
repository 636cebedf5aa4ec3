use std::{fs, io, path::Path};

use crate::parties::Engine;

/// Marks in an attempt's folder that its workspace became ready: it then outlives the agent.
const READY_MARK: &str = "ready";

/// Notes that the workspace of the attempt with this folder is ready.
pub fn mark_ready(scratch: &Path) -> io::Result<()> {
    fs::write(scratch.join(READY_MARK), "")
}

/// Removes what an earlier life of the agent left half done: folders of attempts, and the containers and volumes of
/// workspaces that never became ready. Processes need no sweeping: they died with the agent.
pub async fn sweep(engine: &dyn Engine, attempts_dir: &Path) -> anyhow::Result<()> {
    let entries = match fs::read_dir(attempts_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => anyhow::bail!("{}: {error}", attempts_dir.display()),
    };
    for entry in entries {
        let folder = entry?.path();
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some((workspace_id, attempt)) = name.rsplit_once('-')
            && !folder.join(READY_MARK).exists()
        {
            tracing::info!(
                workspace.id = workspace_id,
                attempt,
                "removes what an interrupted attempt left"
            );
            engine.remove_workspace(workspace_id).await?;
        }
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}
