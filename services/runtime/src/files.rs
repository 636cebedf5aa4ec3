use std::{
    fs::Permissions,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::NamedTempFile;

/// Writes a file whole or not at all: under another name in the same folder first, which then becomes `path`. A reader
/// finds the old file or the new one, and a program that runs from the old one runs on.
///
/// `mode` are the permissions, whatever the umask says. The content is not flushed to the disk: after a power cut the
/// file may be empty.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft(path, content, mode)?;
    draft.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Creates a file whole, flushed to the disk, unless there is one: then that stays as it is. Of several processes that do so
/// at once one creates it.
pub fn create_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft(path, content, mode)?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

/// Like [`write_atomically`], flushed to the disk: a power cut leaves the file as it was, or the new one.
pub fn replace_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft(path, content, mode)?;
    draft.as_file().sync_all()?;
    draft.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn draft(path: &Path, content: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut draft = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)?;
    draft.write_all(content)?;
    draft
        .as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_no_draft_stays_behind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        for (content, mode) in [("long before", 0o600), ("after", 0o755)] {
            write_atomically(&file, content.as_bytes(), mode).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
            let permissions = std::fs::metadata(&file).unwrap().permissions();
            assert_eq!(permissions.mode() & 0o7777, mode);
        }
        // A folder cannot be replaced by a file.
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        assert!(write_atomically(&dir.path().join("folder"), b"", 0o600).is_err());
        assert!(write_atomically(&dir.path().join("no/such"), b"", 0o600).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
