use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;

use crate::write_atomically;

/// Writes the file that says where a process serves: `{"listen":"ADDRESS","admin":"ADDRESS"}`. Scripts wait for it.
pub fn write_ready_file(file: &Path, listen: SocketAddr, admin: SocketAddr) -> anyhow::Result<()> {
    let text = format!(r#"{{"listen":"{listen}","admin":"{admin}"}}"#);
    write_atomically(file, text.as_bytes(), 0o644)
        .with_context(|| format!("--ready-file (HEARTH_READY_FILE): {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("ready.json");
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        write_ready_file(&file, address(1), address(2)).expect("a file");
        let text = std::fs::read_to_string(&file).expect("text");
        assert_eq!(text, r#"{"listen":"127.0.0.1:1","admin":"127.0.0.1:2"}"#);
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
        let nowhere = dir.path().join("missing/ready.json");
        let error = write_ready_file(&nowhere, address(1), address(2)).expect_err("an error");
        assert!(error.to_string().contains("HEARTH_READY_FILE"), "{error}");
    }
}
