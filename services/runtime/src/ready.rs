use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;

/// Tells whoever waits for `file` where a process serves: `{"listen":"ADDRESS","admin":"ADDRESS"}`.
///
/// Written under another name first, so that nobody ever reads half of it.
pub fn write_ready_file(file: &Path, listen: SocketAddr, admin: SocketAddr) -> anyhow::Result<()> {
    let text = format!(r#"{{"listen":"{listen}","admin":"{admin}"}}"#);
    let mut draft = file.as_os_str().to_owned();
    draft.push(".new");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, file))
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
