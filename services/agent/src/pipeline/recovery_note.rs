use std::path::Path;

use hearth_api::v1::Failure;
use hearth_runtime::{blocking, write_atomically};

/// Writes a file into the volume that says why the repository's own devcontainer does not run.
pub async fn leave_note(volume: &Path, failure: &Failure) {
    let text = format!("{}\n\n{}\n", failure.message, failure.output_tail);
    let path = volume.join("hearth-recovery.txt");
    // A hook may have put a link to a file of the node here: the note replaces it and is not written through it.
    if let Err(error) = blocking(move || write_atomically(&path, text.as_bytes(), 0o644)).await {
        tracing::warn!(volume = %volume.display(), %error, "the note about the failure could not be written into the workspace");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[tokio::test]
    async fn a_link_that_a_hook_left_in_the_notes_place_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, victim) = (dir.path().join("volume"), dir.path().join("victim"));
        fs::create_dir(&volume).unwrap();
        fs::write(&victim, "before").unwrap();
        let note = volume.join("hearth-recovery.txt");
        symlink(&victim, &note).unwrap();
        let failure = Failure {
            message: "the image cannot be built".to_owned(),
            ..Failure::default()
        };
        leave_note(&volume, &failure).await;
        assert_eq!(fs::read_to_string(&victim).unwrap(), "before");
        assert!(fs::symlink_metadata(&note).unwrap().is_file());
        assert!(
            fs::read_to_string(&note)
                .unwrap()
                .contains("cannot be built")
        );
    }
}
