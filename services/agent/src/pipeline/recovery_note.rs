use std::{fs, path::Path};

use hearth_api::v1::Failure;

/// Leaves in the volume why the repository's own devcontainer does not run.
pub fn leave_note(volume: &Path, failure: &Failure) {
    let text = format!("{}\n\n{}\n", failure.message, failure.output_tail);
    let path = volume.join("hearth-recovery.txt");
    if let Err(error) = fs::write(&path, text) {
        tracing::warn!(path = %path.display(), %error, "no note of the failure is left in the workspace");
    }
}
